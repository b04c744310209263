//! Lists the tensors of a model directory.
//!
//! ```sh
//! cargo run -p interop --example inspect -- DIRECTORY
//! ```
//!
//! Without a directory it writes a small random model to a temporary one and lists that.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs, process};

use interop::{Tensor, Tensors};
use models::{Decoder, DecoderConfig, Initial, Shadow, WeightKind};
use nn::{BitLinearOptions, ScaleSync};
use ternary_core::statistics::TritCounts;

fn main() -> Result<(), Box<dyn Error>> {
    match env::args_os().nth(1) {
        Some(directory) => list(Path::new(&directory)),
        None => {
            let directory = random_model()?;
            let result = list(&directory);
            fs::remove_dir_all(directory)?;
            result
        }
    }
}

fn random_model() -> Result<PathBuf, Box<dyn Error>> {
    let options = BitLinearOptions::default();
    let kind = WeightKind::Ternary {
        options,
        shadow: Shadow::F32,
        embedding: false,
        head: false,
        sync: ScaleSync::PerMatrix,
    };
    let config = DecoderConfig { layers: 1, ..DecoderConfig::tiny() };
    let model = Decoder::build(config, &mut Initial { seed: 1, kind })?;
    let directory = env::temp_dir().join(format!("inspect-{}", process::id()));
    interop::save(&model, &directory)?;
    Ok(directory)
}

fn list(directory: &Path) -> Result<(), Box<dyn Error>> {
    let file = fs::read(directory.join("model.safetensors"))?;
    for (name, tensor) in Tensors::from_bytes(&file)?.iter() {
        match tensor {
            Tensor::Real { shape, .. } => println!("{name:48} {shape:?} real"),
            Tensor::Bf16 { shape, .. } => println!("{name:48} {shape:?} bf16"),
            Tensor::Ternary(matrix) => {
                let (rows, cols, packing) = (matrix.rows(), matrix.cols(), matrix.packing());
                let granularity = matrix.scales().granularity();
                let zeros = 100.0 * TritCounts::of(matrix.codes()).sparsity();
                println!(
                    "{name:48} [{rows}, {cols}] {packing:?} {granularity:?} {zeros:.1}% zeros"
                );
            }
        }
    }
    println!("{} bytes", file.len());
    Ok(())
}
