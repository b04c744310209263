use lora_backward::{Adapter, Scaling};

use super::*;

const MODULES: [&str; 2] =
    ["model.layers.0.linear_attn.out_proj", "model.layers.1.self_attn.o_proj"];

fn adapters() -> Adapters<f32> {
    let mut adapters = Adapters::default();
    for module in MODULES {
        let scaling = Scaling { alpha: 6.0, rank_stabilised: false };
        let mut adapter = Adapter::kaiming(module, [6, 8], 4, scaling, 5).unwrap();
        adapter.b.iter_mut().enumerate().for_each(|(index, b)| *b = 1.0 / (index as f32 + 3.0));
        adapters.insert(module, adapter).unwrap();
    }
    adapters
}

#[test]
fn from_one_format_to_the_other_and_back_no_bit_changes() {
    let adapters = adapters();
    for prefix in [Prefix::Plain, Prefix::Nested] {
        let options = Options { prefix, base: None };
        let [peft_directory, mlx_directory] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        peft::write(peft_directory.path(), &adapters, &options).unwrap();
        let first = read::<f32>(peft_directory.path()).unwrap();
        mlx::write(mlx_directory.path(), &first, &options).unwrap();
        let second = read::<f32>(mlx_directory.path()).unwrap();
        assert_eq!(second, adapters);
        peft::write(peft_directory.path(), &second, &options).unwrap();
        assert_eq!(read::<f32>(peft_directory.path()).unwrap(), adapters);
    }
}

#[test]
fn a_directory_of_neither_format_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let error = || read::<f32>(path).unwrap_err().to_string();
    assert!(error().contains("adapter_config.json: cannot read the file"));
    std::fs::write(path.join(CONFIG), b"{}").unwrap();
    let expected = "keys: expected peft_type of PEFT, or lora_parameters of MLX-LM, found neither";
    assert!(error().ends_with(expected));
    std::fs::write(path.join(CONFIG), b"[").unwrap();
    assert!(error().contains("adapter_config.json: configuration: "));
    std::fs::write(path.join(CONFIG), vec![b' '; (4 << 20) + 1]).unwrap();
    assert!(error().contains("bytes of the configuration: expected at most 4194304"));
}

#[test]
fn errors_say_which_file_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let files = peft::to_bytes(&adapters(), &Options::default()).unwrap();
    std::fs::write(path.join(CONFIG), &files.config).unwrap();
    let error = || read::<f32>(path).unwrap_err().to_string();
    assert!(error().contains("adapter_model.safetensors: cannot read the file"));
    std::fs::write(path.join("adapter_model.safetensors"), &files.weights[1..]).unwrap();
    assert!(error().contains("adapter_model.safetensors: length of the header"));
    std::fs::write(path.join("adapter_model.safetensors"), &files.weights).unwrap();
    assert_eq!(read::<f32>(path).unwrap(), adapters());
    let text = String::from_utf8(files.config).unwrap().replace("\"r\": 4", "\"r\": 5");
    std::fs::write(path.join(CONFIG), text).unwrap();
    assert!(error().contains("expected 5, as adapter_config.json says, found 4"));
}

#[test]
fn a_directory_that_is_written_again_holds_the_new_adapters_and_is_checked_by_its_manifest() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    peft::write(path, &adapters(), &Options::default()).unwrap();
    let mut changed = adapters();
    changed.dropout = 0.5;
    peft::write(path, &changed, &Options::default()).unwrap();
    assert_eq!(read::<f32>(path).unwrap(), changed);
    let mut names: Vec<_> = std::fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["adapter_config.json", "adapter_model.safetensors", "manifest.json"]);
    // A number that changed on the disk is found, though it is a number still.
    let file = path.join("adapter_model.safetensors");
    let mut bytes = std::fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let error = read::<f32>(path).unwrap_err().to_string();
    assert!(error.contains("SHA-256 by the manifest"), "{error}");
}
