//! Which tensors have rates of their own, by their names.

use std::fmt;
use std::str::FromStr;

/// Parts of names whose tensors are never decayed.
const NOT_DECAYED: [&str; 6] = ["norm", "bias", "scale", "threshold", "embed", "A_log"];

/// Whether weight decay is for a tensor of this name: for all but norms, scales, thresholds, biases, embeddings
/// and the decays of delta nets, whose size is no measure of complexity. A head that is tied to the embedding goes with it.
pub fn is_decayed(name: &str) -> bool {
    !NOT_DECAYED.iter().any(|part| name.contains(part))
}

/// The learning rates of what quantisers learn, as multiples of the model's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LevelRates {
    /// Of scales, and of TTQ's W_p.
    pub scale: f64,
    /// Of TTQ's W_n.
    pub negative_scale: f64,
    /// Of thresholds.
    pub threshold: f64,
}

impl LevelRates {
    /// The learning rate of a tensor of this name as a multiple of the model's: 1 for all that is no level.
    pub fn of(self, name: &str) -> f64 {
        match name.rsplit('.').next() {
            Some("scale" | "positive_scale") => self.scale,
            Some("negative_scale") => self.negative_scale,
            Some("threshold") => self.threshold,
            _ => 1.0,
        }
    }
}

/// Rates for the tensors whose names match a pattern: `*.mlp.*: rate=0.5, decay=0`.
///
/// In a pattern, `*` stands for any letters or none, `?` for any one.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Which names.
    pub pattern: String,
    /// The learning rate, as a multiple of the model's; none leaves it as it is without the group.
    pub rate: Option<f64>,
    /// The weight decay, in the same way.
    pub decay: Option<f64>,
}

impl Group {
    /// What text is read as a group.
    pub const EXPECTED: &str =
        "a pattern of names and numbers from 0 to 1000000, such as \"*.mlp.*: rate=0.5, decay=0\"";

    /// Whether a tensor of this name belongs to the group.
    pub fn matches(&self, name: &str) -> bool {
        is_match(self.pattern.as_bytes(), name.as_bytes())
    }
}

/// Greedy matching: a star first stands for nothing, and for a letter more each time that the rest does not fit.
fn is_match(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    // Where the last star is, and what it stood for the end of.
    let mut star = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&letter) if letter == b'?' || letter == name[n] => (p, n) = (p + 1, n + 1),
            _ => {
                let Some((at, end)) = star else { return false };
                star = Some((at, end + 1));
                (p, n) = (at + 1, end + 1);
            }
        }
    }
    pattern[p..].iter().all(|&letter| letter == b'*')
}

impl FromStr for Group {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (pattern, rates) = text.split_once(':').ok_or(())?;
        let pattern = pattern.trim();
        if pattern.is_empty() || pattern.contains(char::is_whitespace) {
            return Err(());
        }
        let mut group = Self { pattern: pattern.to_owned(), rate: None, decay: None };
        for rate in rates.split(',') {
            let (key, number) = rate.split_once('=').ok_or(())?;
            let number: f64 = number.trim().parse().map_err(|_| ())?;
            let place = match key.trim() {
                "rate" => &mut group.rate,
                "decay" => &mut group.decay,
                _ => return Err(()),
            };
            if !(0.0..=1e6).contains(&number) || place.replace(number).is_some() {
                return Err(());
            }
        }
        Ok(group)
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.pattern)?;
        let rates = [("rate", self.rate), ("decay", self.decay)];
        let mut separator = "";
        for (key, number) in rates.into_iter().filter_map(|(key, number)| Some((key, number?))) {
            write!(f, "{separator} {key}={number}")?;
            separator = ",";
        }
        Ok(())
    }
}

/// The rates of one tensor, as multiples of the model's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shares {
    /// Of the learning rate, unless it is the tensor's kind that decides it.
    pub rate: Option<f64>,
    /// Of the weight decay.
    pub decay: f64,
}

/// A pattern that no name matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownPattern(pub String);

/// The rates of every tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Groups {
    shares: Vec<Shares>,
}

impl Groups {
    /// The rates of tensors of these names: those of the first group that matches, over weight decay where
    /// [`is_decayed`] says so.
    ///
    /// # Errors
    /// The first pattern that matches no name: it would be a misspelling without effect. One that only earlier groups
    /// leave nothing for is allowed.
    pub fn new(groups: &[Group], names: &[&str]) -> Result<Self, UnknownPattern> {
        let is_idle = |group: &&Group| !names.iter().any(|name| group.matches(name));
        if let Some(group) = groups.iter().find(is_idle) {
            return Err(UnknownPattern(group.pattern.clone()));
        }
        let shares = names.iter().map(|name| {
            let group = groups.iter().find(|group| group.matches(name));
            let default = if is_decayed(name) { 1.0 } else { 0.0 };
            let decay = group.and_then(|group| group.decay).unwrap_or(default);
            Shares { rate: group.and_then(|group| group.rate), decay }
        });
        Ok(Self { shares: shares.collect() })
    }

    /// Those of one tensor, by its place among the names.
    ///
    /// # Panics
    /// When there is no such place.
    pub fn of(&self, tensor: usize) -> Shares {
        self.shares[tensor]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn projections_decay_and_norms_scales_biases_and_embeddings_do_not() {
        for name in ["layers.3.attn.q_proj.weight", "lm_head.weight", "layers.0.mlp.up_proj.weight"]
        {
            assert!(is_decayed(name), "{name}");
        }
        for name in [
            "layers.3.input_layernorm.weight",
            "norm.weight",
            "layers.1.mlp.up_proj.bias",
            "layers.1.mlp.up_proj.scale",
            "layers.1.mlp.up_proj.negative_scale",
            "layers.1.mlp.up_proj.threshold",
            "embed_tokens.weight",
            "layers.0.linear_attn.A_log",
            "layers.0.linear_attn.dt_bias",
        ] {
            assert!(!is_decayed(name), "{name}");
        }
    }

    #[test]
    fn learned_scales_and_learned_thresholds_have_rates_of_their_own() {
        for (name, expected) in [
            ("layers.0.mlp.up_proj.scale", 0.5),
            ("layers.0.mlp.up_proj.positive_scale", 0.5),
            ("layers.0.mlp.up_proj.negative_scale", 0.75),
            ("layers.0.mlp.up_proj.threshold", 0.25),
            ("layers.0.mlp.up_proj.weight", 1.0),
            ("layers.0.mlp.up_proj.bias", 1.0),
            ("norm.weight", 1.0),
        ] {
            let rates = LevelRates { scale: 0.5, negative_scale: 0.75, threshold: 0.25 };
            assert_eq!(rates.of(name), expected, "{name}");
        }
    }

    fn group(text: &str) -> Group {
        text.parse().unwrap()
    }

    #[test]
    fn a_star_is_any_letters_and_a_question_mark_is_one() {
        for (pattern, name, expected) in [
            ("*.mlp.*", "layers.0.mlp.up_proj.weight", true),
            ("*.mlp.*", "mlp.up_proj.weight", false),
            ("*mlp*", "mlp", true),
            ("layers.?.*", "layers.3.norm", true),
            ("layers.?.*", "layers.13.norm", false),
            ("*.1?.*", "layers.13.norm", true),
            ("*ab*abc", "ababcabc", true),
            ("*ab*abd", "ababcabc", false),
            ("norm", "norm.weight", false),
            ("*", "anything", true),
            ("a**b", "ab", true),
            ("a?", "a", false),
        ] {
            assert_eq!(
                group(&format!("{pattern}: rate=1")).matches(name),
                expected,
                "{pattern}, {name}"
            );
        }
    }

    #[test]
    fn the_first_group_that_matches_wins_and_what_it_leaves_out_is_the_default() {
        let groups = [
            group("*.up_proj.*: rate=0.5"),
            group("*.mlp.*: decay=0.25,rate=2"),
            group("*norm*: decay=1"),
        ];
        let names = ["mlp.norm", "0.mlp.up_proj.weight", "0.mlp.down_proj.weight", "head.weight"];
        let groups = Groups::new(&groups, &names).unwrap();
        for (tensor, (rate, decay)) in
            [(None, 1.0), (Some(0.5), 1.0), (Some(2.0), 0.25), (None, 1.0)].into_iter().enumerate()
        {
            assert_eq!(groups.of(tensor), Shares { rate, decay }, "{}", names[tensor]);
        }
        let plain = Groups::new(&[], &["norm"]).unwrap();
        assert_eq!(plain.of(0), Shares { rate: None, decay: 0.0 });
    }

    #[test]
    fn a_pattern_without_a_tensor_is_named() {
        let groups = [group("*: rate=1"), group("*.mlq.*: rate=0"), group("x: rate=0")];
        let error = Groups::new(&groups, &["a.mlp.b"]).unwrap_err();
        assert_eq!(error, UnknownPattern("*.mlq.*".into()));
    }

    #[test]
    fn a_group_is_written_as_it_is_read_and_other_texts_are_refused() {
        for text in ["*.mlp.*: rate=0.5, decay=0", "norm: decay=0.001", "x: rate=1000000"] {
            assert_eq!(group(text).to_string(), text);
        }
        assert_eq!(group(" a : decay = 1 ,rate=2").to_string(), "a: rate=2, decay=1");
        for text in [
            "",
            "a",
            "a:",
            ": rate=1",
            "a b: rate=1",
            "a: rat=1",
            "a: rate",
            "a: rate=",
            "a: rate=x",
            "a: rate=-1",
            "a: rate=nan",
            "a: rate=inf",
            "a: rate=1, rate=2",
            "a: rate=1,",
        ] {
            assert_eq!(text.parse::<Group>(), Err(()), "{text}");
        }
    }
}
