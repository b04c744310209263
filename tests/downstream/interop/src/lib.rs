//! A stranger who uses `interop` and nothing else: what a model on disk holds.

use std::path::Path;

use interop::Error;

/// Layers and width of a model.
///
/// # Errors
/// For a directory without a model, or one that is not whole.
pub fn shape(directory: &Path) -> Result<(usize, usize), Error> {
    let model = interop::load(directory)?;
    Ok((model.config().layers, model.config().width))
}

#[cfg(test)]
mod tests {
    use interop::models::{Decoder, DecoderConfig, Initial, WeightKind};

    use super::*;

    #[test]
    fn a_model_on_disk_has_the_shape_it_was_saved_with() {
        let config = DecoderConfig {
            layers: 3,
            width: 32,
            head_width: 8,
            rotary_width: 8,
            ..DecoderConfig::tiny()
        };
        let model = Decoder::build(config, &mut Initial { seed: 5, kind: WeightKind::Dense });
        let name = format!("downstream-interop-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        assert!(shape(&directory).is_err());
        interop::save(&model.unwrap(), &directory).unwrap();
        assert_eq!(shape(&directory).unwrap(), (3, 32));
        std::fs::remove_dir_all(directory).unwrap();
    }
}
