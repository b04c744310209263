use super::*;

/// Two layers with a gated delta net and, third, one with attention; each with a feed-forward net.
fn places() -> Vec<Place> {
    let place = |layer: usize, kind, part, outputs| Place {
        name: format!("model.layers.{layer}.{part}"),
        layer: Some(layer),
        kind,
        inputs: 6,
        outputs,
    };
    let mut places = Vec::new();
    for layer in 0..3 {
        if layer == 2 {
            places.push(place(layer, "attention", "self_attn.q_proj", 8));
        } else {
            places.push(place(layer, "gated delta net", "linear_attn.in_proj_qkv", 12));
            places.push(place(layer, "gated delta net", "linear_attn.in_proj_a", 2));
        }
        places.push(place(layer, "feed-forward", "mlp.up_proj", 10));
    }
    let name = "lm_head".to_owned();
    places.push(Place { name, layer: None, kind: "head", inputs: 6, outputs: 20 });
    places
}

fn ranks() -> Ranks {
    Ranks::uniform(2, Scaling { alpha: 4.0, rank_stabilised: false })
}

fn endings(endings: &[&str]) -> Selection {
    Modules::Endings(endings.iter().map(|&ending| ending.to_owned()).collect()).into()
}

fn expression(text: &str) -> Selection {
    Modules::Expression(text.to_owned()).into()
}

fn modules(selection: &Selection) -> Vec<String> {
    let targets = resolve(&places(), selection, &ranks()).unwrap();
    targets.into_iter().map(|target| target.module).collect()
}

fn error(selection: &Selection) -> String {
    resolve(&places(), selection, &ranks()).unwrap_err().to_string()
}

const Q: &str = "model.layers.2.self_attn.q_proj";

#[test]
fn endings_expressions_and_all_linear_modules_are_resolved_in_the_order_of_the_model() {
    assert_eq!(modules(&endings(&["q_proj", "linear_attn.in_proj_a"])).len(), 3);
    let first = modules(&endings(&["q_proj", "in_proj_qkv"]));
    assert_eq!(first[0], "model.layers.0.linear_attn.in_proj_qkv");
    assert_eq!(first[2], Q);
    // Either name of a module will do.
    for text in [r"model\.layers\.2\.self_attn\..*", r"model\.language_model\.layers\.2\.self.*"] {
        assert_eq!(modules(&expression(text)), [Q]);
    }
    assert_eq!(modules(&endings(&["model.language_model.layers.2.self_attn.q_proj"])), [Q]);
    let all = modules(&Modules::AllLinear.into());
    assert_eq!(all.len(), places().len() - 1);
    assert!(!all.contains(&"lm_head".to_owned()));
    assert_eq!(modules(&endings(&["lm_head"])), ["lm_head"]);
}

#[test]
fn a_router_is_no_linear_module_and_the_gate_of_a_shared_expert_is_one() {
    let place = |part: &str| Place {
        name: format!("model.layers.0.mlp.{part}"),
        layer: Some(0),
        kind: "router",
        inputs: 6,
        outputs: 4,
    };
    let places = ["gate", "shared_expert_gate", "experts.0.gate_proj"].map(place);
    let found = resolve(&places, &Modules::AllLinear.into(), &ranks()).unwrap();
    let found: Vec<_> = found.iter().map(|target| &*target.module).collect();
    assert_eq!(found, [&*places[1].name, &*places[2].name]);
}

#[test]
fn layers_and_exclusions_narrow_the_targets() {
    let up = Selection { layers: Some(vec![0, 2]), ..endings(&["up_proj"]) };
    assert_eq!(modules(&up), ["model.layers.0.mlp.up_proj", "model.layers.2.mlp.up_proj"]);
    let all = Selection { layers: Some(vec![2]), ..Modules::AllLinear.into() };
    assert_eq!(modules(&all), [Q, "model.layers.2.mlp.up_proj"]);
    for exclude in [
        Modules::Endings(vec!["mlp.up_proj".into()]),
        Modules::Expression(r"model\.language_model\..*\.mlp\..*".into()),
    ] {
        let all = Selection { exclude: Some(exclude), ..all.clone() };
        assert_eq!(modules(&all), [Q]);
    }
}

#[test]
fn patterns_say_another_rank_and_alpha() {
    let mut ranks = ranks();
    ranks.rank_pattern = vec![("in_proj_a".into(), 1)];
    ranks.alpha_pattern = vec![(r"layers\.1\..*".into(), 9.0)];
    let targets = resolve(&places(), &endings(&["in_proj_a", "up_proj"]), &ranks).unwrap();
    let said = |end: &str| {
        let target = targets.iter().find(|target| target.module.ends_with(end)).unwrap();
        (target.rank, target.scaling.alpha)
    };
    assert_eq!(said("0.linear_attn.in_proj_a"), (1, 4.0));
    assert_eq!(said("1.linear_attn.in_proj_a"), (1, 9.0));
    assert_eq!(said("1.mlp.up_proj"), (2, 9.0));
    ranks.rank_pattern = vec![("q_proj".into(), 1)];
    let error = resolve(&places(), &endings(&["up_proj"]), &ranks).unwrap_err().to_string();
    let expected = "rank_pattern: \"q_proj\": expected the ending of a chosen module: up_proj, found one of none";
    assert_eq!(error, expected);
}

#[test]
fn a_pattern_may_call_a_module_as_in_a_model_that_sees_as_well() {
    let mut ranks = ranks();
    ranks.rank_pattern = vec![("model.language_model.layers.2.self_attn.q_proj".into(), 3)];
    ranks.alpha_pattern = vec![(r"model\.language_model\.layers\.[01]\.mlp\..*".into(), 9.0)];
    let targets = resolve(&places(), &endings(&["q_proj", "up_proj"]), &ranks).unwrap();
    let said: Vec<_> = targets.iter().map(|target| (target.rank, target.scaling.alpha)).collect();
    assert_eq!(said, [(2, 9.0), (2, 9.0), (3, 4.0), (2, 4.0)]);
    assert_eq!(targets[2].module, Q);
}

#[test]
fn what_fits_no_module_is_told_with_what_there_is() {
    let known = "in_proj_qkv, in_proj_a, up_proj, q_proj, lm_head";
    assert_eq!(
        error(&endings(&["up_proj", "k_porj"])),
        format!(
            "target \"k_porj\": expected one of the model's: {known}, found no module that ends so"
        )
    );
    let exclude = Some(Modules::Endings(vec!["x".into()]));
    let unknown = error(&Selection { exclude, ..endings(&["up_proj"]) });
    assert!(unknown.starts_with(&format!("exclusion \"x\": expected one of the model's: {known}")));
    let unmatched = error(&expression("q_proj"));
    assert_eq!(
        unmatched,
        "target \"q_proj\": expected one that a whole name matches, such as \
         model.layers.0.linear_attn.in_proj_qkv, found an expression of none"
    );
    assert!(error(&expression("(?=a)")).contains("look-ahead"));
    assert_eq!(error(&endings(&[])), "targets: expected one name at least, found none");
}

#[test]
fn targets_of_which_nothing_is_left_are_refused_with_the_reason() {
    let far = Selection { layers: Some(vec![1, 7]), ..endings(&["up_proj"]) };
    assert_eq!(error(&far), "layers: expected layers of the model, 0 to 2, found 7");
    let other = Selection { layers: Some(vec![0, 1]), ..endings(&["up_proj", "q_proj"]) };
    assert_eq!(
        error(&other),
        "target \"q_proj\": expected a module in the layers 0, 1, found modules in the layers 2 only"
    );
    let exclude = Some(Modules::Expression(".*".into()));
    for targets in [endings(&["q_proj"]), expression(".*q_proj"), Modules::AllLinear.into()] {
        let error = error(&Selection { exclude: exclude.clone(), ..targets });
        assert!(error.ends_with("expected a module that is not excluded, found none that is left"));
    }
}

#[test]
fn a_rank_that_a_module_cannot_have_is_refused_by_its_name() {
    for (rank, end) in [(0, "linear_attn.in_proj_qkv"), (7, "linear_attn.in_proj_a")] {
        let ranks = Ranks { rank, ..ranks() };
        let targets = endings(&["in_proj_a", "in_proj_qkv"]);
        let error = resolve(&places(), &targets, &ranks).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("model.layers.0.{end}: rank: expected 1 to ")),
            "{error}"
        );
        assert!(error.ends_with(&format!("found {rank}")), "{error}");
    }
}
