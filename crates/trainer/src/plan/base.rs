//! The memory of the model that adapters are for.

use std::path::Path;

use models::{Base, DecoderConfig, Role};

/// Bytes that the weights of a model in a folder have in memory where they are kept as `base` says. What is ternary in its
/// files already is no larger than they are; what is in them and not of the model, such as a part that sees, is not kept.
/// Files that cannot be read are an error of the run, not of its plan.
pub(super) fn frozen(folder: &Path, model: &DecoderConfig, base: Base) -> u128 {
    let of_files = interop::weight_bytes(folder).map_or(u128::MAX, u128::from);
    of_files.min(matrices(model, base))
}

/// Bytes of the matrices; beside them gains and taps are nothing.
fn matrices(model: &DecoderConfig, base: Base) -> u128 {
    let places = model.places().into_iter().map(|place| {
        let role = match place.kind {
            "router" => Role::Router,
            "head" => Role::Head,
            _ => match place.part() {
                "linear_attn.in_proj_a" | "linear_attn.in_proj_b" | "linear_attn.in_proj_ba" => {
                    Role::DeltaGate
                }
                _ => Role::Channels,
            },
        };
        bytes(base.of(role), place.outputs as u128 * place.inputs as u128)
    });
    let columns = model.width as u128 + model.layers as u128 * model.per_layer as u128;
    places.sum::<u128>() + bytes(base.of(Role::Head), model.vocabulary as u128 * columns)
}

fn bytes(kept: Base, numbers: u128) -> u128 {
    match kept {
        Base::F32 => 4 * numbers,
        Base::Bf16 => 2 * numbers,
        Base::Ternary => numbers.div_ceil(5),
    }
}

#[cfg(test)]
mod tests {
    use models::{Decoder, Initial, WeightKind};
    use nn::Module;

    use super::*;
    use crate::temporary::TemporaryFolder;

    #[test]
    fn a_model_is_planned_about_as_large_as_it_is_however_it_is_kept() {
        let config =
            DecoderConfig { width: 512, feed_forward: 1024, layers: 4, ..DecoderConfig::hybrid() };
        let folder = TemporaryFolder::new();
        let mut source = Initial { seed: 1, kind: WeightKind::Dense };
        let model = Decoder::<f32>::build(config.clone(), &mut source).unwrap();
        interop::save(&model, folder.path()).unwrap();
        let mut last = u128::from(u64::MAX);
        for base in Base::ALL {
            let kept = interop::open_as(folder.path(), base).unwrap();
            let (found, planned) =
                (kept.memory().total() as u128, frozen(folder.path(), &config, base));
            let range = found * 4 / 5..found * 6 / 5;
            assert!(range.contains(&planned), "{base}: {planned} of {found}");
            assert!(planned * 9 < last * 5, "{base}: {planned} after {last}");
            last = planned;
        }
        // What is rounded in the files is wide in memory.
        let (narrow, rounded) =
            (TemporaryFolder::new(), interop::open_as(folder.path(), Base::Bf16));
        interop::save(&rounded.unwrap(), narrow.path()).unwrap();
        let wide = interop::open(narrow.path()).unwrap().memory().total() as u128;
        let planned = frozen(narrow.path(), &config, Base::F32);
        assert!((wide * 4 / 5..wide * 6 / 5).contains(&planned), "{planned} of {wide}");
    }
}
