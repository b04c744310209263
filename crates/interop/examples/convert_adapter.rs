//! Reads an adapter of PEFT or MLX-LM, and writes it for either.
//!
//! ```sh
//! cargo run -p interop --example convert_adapter -- FROM TO [peft|mlx] [plain|nested]
//! ```
//!
//! Without directories it makes an adapter of its own, writes it for MLX-LM and reads that.

use std::error::Error;
use std::path::Path;
use std::{env, process};

use interop::adapters::{self, Options, Prefix, mlx, peft};
use interop::lora_backward::{Adapter, Adapters, Scaling};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (from, to, format, prefix) = match arguments[..] {
        [] => return own(),
        [from, to] => (from, to, "peft", "plain"),
        [from, to, format] => (from, to, format, "plain"),
        [from, to, format, prefix] => (from, to, format, prefix),
        _ => ("", "", "", ""),
    };
    let prefix = match prefix {
        "plain" => Prefix::Plain,
        "nested" => Prefix::Nested,
        _ => usage(),
    };
    let write = match format {
        "peft" => peft::write::<f32>,
        "mlx" => mlx::write::<f32>,
        _ => usage(),
    };
    let read = adapters::read(Path::new(from))?;
    write(Path::new(to), &read, &Options { prefix, base: None })?;
    list(&read);
    Ok(())
}

fn own() -> Result<(), Box<dyn Error>> {
    let module = "model.layers.0.linear_attn.out_proj";
    let mut adapters = Adapters::<f32>::default();
    adapters
        .insert(module, Adapter::kaiming(module, [8, 6], 2, Scaling::multiplier(2.0, 2), 1)?)?;
    let directory = env::temp_dir().join(format!("adapter-{}", process::id()));
    mlx::write(&directory, &adapters, &Options::default())?;
    let read = adapters::read(&directory);
    std::fs::remove_dir_all(directory)?;
    list(&read?);
    Ok(())
}

fn list(adapters: &Adapters<f32>) {
    for (module, adapter) in adapters.iter() {
        let Adapter { rank, inputs, outputs, .. } = adapter;
        println!("{module}: rank {rank}, {inputs} to {outputs}, times {}", adapter.factor());
    }
}

fn usage() -> ! {
    eprintln!("usage: convert_adapter [FROM TO [peft|mlx] [plain|nested]]");
    process::exit(2)
}
