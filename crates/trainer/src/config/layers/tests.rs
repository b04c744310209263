use super::*;
use crate::temporary::TemporaryFolder;

fn resolve(sets: &[&str], flags: &[(&str, &str)]) -> Result<Configuration, Error> {
    let mut layers = Layers::default();
    layers.add_assignments(sets.iter().copied())?;
    layers.add_flags(flags.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())))?;
    layers.resolve()
}

fn resolve_file(name: &str, text: &str) -> Result<Configuration, Error> {
    let folder = TemporaryFolder::new();
    let mut layers = Layers::default();
    layers.add_file(&folder.file(name, text))?;
    layers.resolve()
}

#[test]
fn a_later_layer_overrides_an_earlier_one() {
    let text = "steps = 1\nseed = 1\nfloat = true\n[model]\nlayers = 1\nwidth = 64\n";
    let folder = TemporaryFolder::new();
    let mut layers = Layers::default();
    layers.add_file(&folder.file("layers.toml", text)).unwrap();
    layers.add_assignments(["seed=2", "steps=2", "model.layers=2"]).unwrap();
    layers.add_flags([("steps".into(), "3".into())]).unwrap();
    let found = layers.resolve().unwrap();
    assert_eq!((found.run.steps, found.run.seed, found.run.float), (3, 2, true));
    assert_eq!((found.model.layers, found.model.width, found.model.heads), (2, 64, 4));
}

#[test]
fn a_file_that_names_a_preset_is_not_given_another() {
    let preset = |file: &str, flag: &str| {
        let folder = TemporaryFolder::new();
        let mut layers = Layers::default();
        layers.add_file(&folder.file("saved.toml", file)).unwrap();
        layers.add_flags([("preset".into(), flag.into())]).unwrap();
        layers.resolve()
    };
    let written = Preset::Tiny.configuration().to_toml();
    let said = preset(&written, "small").unwrap_err().to_string();
    assert!(said.contains("found tiny in ") && said.contains("saved.toml"), "{said}");
    assert!(
        said.contains("and small by command line") && said.contains("out of the file"),
        "{said}"
    );
    assert_eq!(preset(&written, "tiny").unwrap(), Preset::Tiny.configuration());
    let changed = preset("[model]\nlayers = 3\n", "small").unwrap();
    assert_eq!((changed.model.layers, changed.model.width), (3, 256));
}

#[test]
fn what_is_written_reads_back_as_the_same_configuration() {
    let sets = [
        "data=a \"b\" \\ c.txt",
        "model.rope_base=500000",
        "ternary.granularity=32",
        "ternary.quantiser=fixed0.02",
        "ste=clipped",
        "float_steps=7",
        "ternary.ramp=0.25",
        "ternary.packing=five-trits",
        "optimiser.learning_rate=1e-3",
        "float=true",
        "optimiser.groups=*.mlp.*: rate=0.5, decay=0; *norm*: decay=1",
        "stop_if=ppl>400@2000",
        "time_budget=1h30m",
        "schedule.shape=wsd",
        "schedule.fall=linear",
        "optimiser.method=muon",
        "optimiser.final_share=0.5",
    ];
    let configuration = resolve(&sets, &[]).unwrap();
    assert_eq!(resolve_file("written.toml", &configuration.to_toml()).unwrap(), configuration);
    let default = Configuration::default();
    assert_eq!(resolve_file("default.toml", &default.to_toml()).unwrap(), default);
}

#[test]
fn every_default_is_a_value_that_its_setting_takes() {
    for setting in SETTINGS {
        let mut configuration = Configuration::default();
        let Some(value) = setting.value(&configuration) else { continue };
        assert!(setting.change(&mut configuration, &value), "{}: {value}", setting.key());
        assert_eq!(configuration, Configuration::default(), "{}", setting.key());
        assert!(setting.help().len() > 10 && !setting.help().ends_with('.'), "{}", setting.key());
    }
    Configuration::default().check().unwrap();
}

#[test]
fn a_bad_value_names_the_key_what_was_expected_and_what_came() {
    for (set, message) in [
        ("steps=0", "--set: steps: expected a whole number from 1 to 1000000000, found 0"),
        ("steps=-1", "found -1"),
        ("steps=ten", "found \"ten\""),
        ("steps=1.5", "found 1.5"),
        ("steps=", "found \"\""),
        ("float=yes", "float: expected true or false, found \"yes\""),
        ("optimiser.beta2=1", "expected a number from 0 to below 1, found 1"),
        ("optimiser.clip=0", "expected a number above 0, found 0"),
        ("optimiser.epsilon=0", "found 0"),
        (
            "optimiser.epsilon=1e-300",
            "optimiser.epsilon: expected a number from 0.00000000000000000001 to 1",
        ),
        ("optimiser.clip=inf", "found inf"),
        ("optimiser.clip=nan", "found nan"),
        (
            "preset=huge",
            "preset: expected a preset: tiny, small, base, moe, hybrid, found \"huge\"",
        ),
        ("ternary.quantiser=absmaen", "expected a quantiser: absmean"),
        ("ternary.quantiser=lsqs", "found \"lsqs\""),
        ("ste=straight", "ste: expected a mode: none, vanilla"),
        ("ternary.granularity=0", "ternary.granularity: expected tensor, row"),
        ("ternary.scale_sync=block", "expected one of per-matrix, per-expert, per-block"),
        ("ternary.packing=3", "expected a packing: two-bit, five-trits, found 3"),
        ("data=", "data: expected a path, found \"\""),
        ("optimiser.method=adam", "expected an optimiser: adamw, sgd, lamb, muon, found \"adam\""),
        ("schedule.shape=cos", "expected a schedule: cosine, wsd, restarts, decay-to-zero"),
        ("stop_if=ppl=400", "expected a list, each a condition such as \"ppl>400@2000\""),
        ("stop_if=loss>9; ppl>x", "found [\"loss>9\", \"ppl>x\"]"),
        ("optimiser.groups=*.mlp.*: speed=2", "expected a list, each a pattern of names"),
        ("time_budget=20", "time_budget: expected a time such as 90s, 20m, 2h or 1h30m, found 20"),
    ] {
        let error = resolve(&[set], &[]).unwrap_err().to_string();
        assert!(error.contains(message), "{set}: {error}");
    }
    let error = resolve(&[], &[("seed", "x")]).unwrap_err().to_string();
    assert_eq!(
        error,
        "command line: seed: expected a whole number from 0 to 9223372036854775807, found \"x\""
    );
}

#[test]
fn an_unknown_key_is_an_error_with_the_closest_one() {
    for (set, closest) in [
        ("model.widht=1", "; did you mean \"model.width\"?"),
        ("stpes=1", "; did you mean \"steps\"?"),
        ("width=1", "; did you mean \"model.width\"?"),
        ("optimiser=muon", "; did you mean \"optimiser.method\"?"),
        ("something.else=1", ""),
    ] {
        let key = set.split('=').next().unwrap();
        let error = resolve(&[set], &[]).unwrap_err().to_string();
        assert_eq!(error, format!("--set: unknown key {key:?}{closest}"));
    }
    let error = resolve_file("unknown.toml", "[model]\ndepth = 3\n").unwrap_err().to_string();
    assert!(error.contains("unknown.toml: unknown key \"model.depth\""), "{error}");
    let error = resolve_file("section.toml", "[nothing]\nat = 1\n").unwrap_err().to_string();
    assert!(error.contains("unknown key \"nothing.at\""), "{error}");
}

#[test]
fn values_of_another_type_in_a_file_are_refused() {
    for (index, text) in
        ["steps = \"3\"", "float = \"true\"", "model = 3", "[steps]\na = 1", "steps = [1]"]
            .iter()
            .enumerate()
    {
        let error = resolve_file(&format!("type-{index}.toml"), text).unwrap_err();
        assert!(matches!(error, Error::Value { .. } | Error::UnknownKey { .. }), "{error}");
    }
}

#[test]
fn a_setting_given_twice_is_an_error() {
    let error = resolve(&["steps=1", "steps=2"], &[]).unwrap_err().to_string();
    assert_eq!(error, "--set: steps is given twice: 1, then 2");
    let error = resolve_file("twice.toml", "steps = 1\nsteps = 2\n").unwrap_err();
    assert!(matches!(error, Error::File { .. }), "{error}");
    let error = resolve(&["steps"], &[]).unwrap_err().to_string();
    assert_eq!(error, "--set: expected key=value, found \"steps\"");
}

#[test]
fn lists_are_arrays_in_files_and_grow_by_semicolons_and_repetition() {
    let words = |configuration: Configuration| -> Vec<String> {
        configuration.run.stop_if.iter().map(ToString::to_string).collect()
    };
    let text = "stop_if = [\"ppl>400@2000\", \"norm>10\"]\n";
    assert_eq!(words(resolve_file("list.toml", text).unwrap()), ["ppl>400@2000", "norm>10"]);
    let set = resolve(&["stop_if=ppl>4; norm>10;", "stop_if=loss>9"], &[]).unwrap();
    assert_eq!(words(set), ["ppl>4", "norm>10", "loss>9"]);
    let flags = [("stop_if", "ppl>4"), ("stop_if", "norm>10")];
    // A later layer overrides the whole list.
    assert_eq!(words(resolve(&["stop_if=loss>9"], &flags).unwrap()), ["ppl>4", "norm>10"]);
    assert_eq!(words(resolve(&["stop_if="], &[]).unwrap()), [""; 0]);
    let error = resolve_file("no-list.toml", "stop_if = \"ppl>4\"\n").unwrap_err();
    assert!(matches!(error, Error::Value { .. }), "{error}");
}

#[test]
fn a_file_that_is_missing_or_no_toml_is_an_error_that_names_it() {
    let error = Layers::default().add_file(Path::new("no/such.toml")).unwrap_err().to_string();
    assert!(error.contains("no/such.toml"), "{error}");
    let error = resolve_file("broken.toml", "steps = \n").unwrap_err().to_string();
    assert!(error.contains("broken.toml") && error.contains("line 1"), "{error}");
}

#[test]
fn settings_that_do_not_go_together_are_refused() {
    for (sets, keys) in [
        (&["model.heads=3"][..], "model.heads, model.width"),
        (&["mixture.experts=2", "mixture.used=3"], "mixture.used, mixture.experts"),
        (&["mixture.experts=2", "mixture.noise=0.5"], "mixture.noise, mixture.experts, from"),
        (&["from=a", "mixture.noise=0.5"], "mixture.noise, mixture.experts, from"),
        (
            &["ternary.scale_sync=per-block", "ternary.granularity=row"],
            "ternary.scale_sync, ternary.granularity",
        ),
        (&["ternary.scale_sync=per-expert", "dqt=true"], "ternary.scale_sync, dqt"),
        (&["model.width=132", "model.heads=12"], "model.heads, model.width"),
        (&["model.key_value_heads=3"], "model.key_value_heads"),
        (&["ternary.granularity=7"], "ternary.granularity"),
        (&["ternary.quantiser=twn3"], "ternary.quantiser"),
        (&["fogzo_from=0.7", "float=true"], "fogzo_from, float"),
        (&["fogzo_from=0.7", "ternary.scale_average=0.9"], "fogzo_from, ternary.scale_average"),
        (&["ohem=0.3"], "ohem, mining.minimum"),
        (&["batch.windows=65536", "batch.length=1000"], "batch.windows, batch.length"),
    ] {
        let error = resolve(sets, &[]).unwrap_err();
        assert!(matches!(&error, Error::Contradiction { .. }), "{error}");
        assert!(error.to_string().starts_with(keys), "{error}");
    }
}
