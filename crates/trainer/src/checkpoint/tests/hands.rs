//! Checkpoints after somebody's hands, and what pruning leaves.

use std::io::Write;

use super::*;
use crate::storage::Disk;
use crate::storage::faulty::{Fault, tree};
use crate::temporary::TemporaryFolder;

const FILES: [&str; 3] = ["arrays.safetensors", "state.json", "manifest.json"];

fn names(storage: &dyn Storage) -> Vec<String> {
    let entries = storage.list(&Path::new(RUN).join("checkpoints")).unwrap();
    entries.iter().map(|entry| entry.name().unwrap().to_owned()).collect()
}

fn line(disk: &Faulty) -> String {
    let (step, mut lines) = newest(disk).unwrap();
    assert_eq!((step, lines.len()), (Some(20), 1), "{lines:?}");
    lines.remove(0)
}

#[test]
fn without_a_checkpoint_there_is_none() {
    let disk = run_with(1, &[]);
    assert_eq!(newest(&disk).unwrap(), (None, vec![]));
    make_directories(&disk, Path::new("/run/checkpoints")).unwrap();
    assert_eq!(newest(&disk).unwrap(), (None, vec![]));
}

#[test]
fn any_byte_that_was_changed_or_cut_off_has_an_older_checkpoint_used() {
    let whole = run_with(2, &[20, 40]);
    assert_eq!(newest(&whole).unwrap(), (Some(40), vec![]));
    for name in FILES {
        let path = file(40, name);
        let mut length = 0;
        whole.edit(&path, |bytes| length = bytes.len());
        for at in 0..length {
            for cut in [false, true] {
                let disk = whole.copy(Fault::None);
                disk.edit(&path, |bytes| if cut { bytes.truncate(at) } else { bytes[at] ^= 4 });
                match newest(&disk) {
                    Ok((step, lines)) => {
                        // Blanks and line ends around the manifest's values mean nothing.
                        let is_same = step == Some(40) && name == "manifest.json";
                        assert!(is_same || (step, lines.len()) == (Some(20), 1), "{name} {at}");
                    }
                    // The digit of the version.
                    Err(error) => {
                        assert!(
                            matches!(error, Error::CheckpointVersion { .. }) && !cut,
                            "{error}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn lines_say_which_folder_is_passed_over_and_why() {
    let whole = run_with(2, &[20, 40]);
    let copy = || whole.copy(Fault::None);
    for name in FILES {
        let disk = copy();
        disk.remove_file(&file(40, name)).unwrap();
        let line = line(&disk);
        assert!(
            line.contains(&format!("step-00000040 is passed over: {name} is missing;")),
            "{line}"
        );
    }
    let disk = copy();
    disk.edit(&file(40, "state.json"), |bytes| bytes[4] ^= 1);
    let told = line(&disk);
    assert!(told.contains("state.json: SHA-256 by the manifest: expected "), "{told}");
    let disk = copy();
    let named = Path::new(RUN).join("checkpoints").join(final_name(60));
    disk.rename(file(40, FILES[0]).parent().unwrap(), &named).unwrap();
    let told = line(&disk);
    assert!(told.contains("step-00000060 is passed over: state.json: step: expected 60, found 40"));
    let disk = copy();
    FILES.iter().for_each(|name| disk.remove_file(&file(40, name)).unwrap());
    let told = line(&disk);
    assert!(told.contains("manifest.json is missing"), "{told}");
}

#[test]
fn a_checkpoint_of_another_version_is_an_error_that_says_what_to_do() {
    let disk = run_with(2, &[20, 40]);
    disk.edit(&file(40, "manifest.json"), |bytes| {
        let text = String::from_utf8(bytes.clone()).unwrap();
        *bytes = text.replace("\"version\": 2", "\"version\": 1").into_bytes();
    });
    let error = newest(&disk).unwrap_err().to_string();
    assert!(
        error.contains("version of the checkpoint: expected 2, found 1; resume with"),
        "{error}"
    );
}

#[test]
fn the_newest_stay_and_nothing_that_is_not_ours_is_touched() {
    let disk = run_with(2, &[20, 40]);
    let folder = Path::new(RUN).join("checkpoints");
    for foreign in ["best", "step-7", "notes", ".step-00000003"] {
        disk.make_directory(&folder.join(foreign)).unwrap();
    }
    disk.create(&folder.join("step-00000001")).unwrap().write_all(b"a file").unwrap();
    let left_over = folder.join(".step-00000030.new");
    disk.make_directory(&left_over).unwrap();
    disk.create(&left_over.join("state.json")).unwrap();
    disk.make_directory(&left_over.join("deeper")).unwrap();
    save(&disk, 2, 60).unwrap();
    let ours = ["step-00000040", "step-00000060"];
    let foreign = [".step-00000003", "best", "notes", "step-00000001"];
    assert_eq!(names(&disk), [&foreign[..], &ours, &["step-7"]].concat());
    save(&disk, 1, 80).unwrap();
    assert_eq!(names(&disk), [&foreign[..], &["step-00000080", "step-7"]].concat());
    // At least one is kept.
    save(&disk, 0, 100).unwrap();
    assert_eq!(newest(&disk).unwrap(), (Some(100), vec![]));
}

#[test]
fn a_run_that_went_back_leaves_nothing_of_the_steps_after() {
    let disk = run_with(3, &[20, 40, 60]);
    disk.edit(&file(60, "state.json"), |bytes| bytes.clear());
    save(&disk, 3, 50).unwrap();
    assert_eq!(names(&disk), [20, 40, 50].map(final_name));
    assert_eq!(newest(&disk).unwrap(), (Some(50), vec![]));
}

#[test]
fn a_broken_checkpoint_of_a_step_is_replaced() {
    let disk = run_with(2, &[20, 40]);
    disk.edit(&file(40, "arrays.safetensors"), |bytes| bytes[9] ^= 1);
    save(&disk, 2, 40).unwrap();
    assert_eq!(newest(&disk).unwrap(), (Some(40), vec![]));
    assert_eq!(names(&disk), [20, 40].map(final_name));
}

#[test]
fn a_whole_checkpoint_of_the_same_step_is_replaced() {
    let (weights, codes) = numbers(40);
    let mut other = weights;
    other[1] = 7.0;
    let mut lengths = snapshot(40);
    lengths.lengths.insert("metrics.jsonl".to_owned(), 4001);
    for (snapshot, weights) in [(snapshot(40), other), (lengths, weights)] {
        for fault in [Fault::None, Fault::DiskFull(0)] {
            let disk = run_with(2, &[20, 40]).copy(fault);
            let checkpoints = Checkpoints::new(&disk, Path::new(RUN), 2);
            let saved = checkpoints.save(&snapshot, &|visit| {
                visit("weights", Numbers::F32(&weights));
                visit("codes", Numbers::U8(&codes));
            });
            if saved.is_err() {
                // What was there is there still.
                assert_eq!(newest(&disk).unwrap(), (Some(40), vec![]));
                continue;
            }
            assert_eq!(fault, Fault::None);
            let mut found = checkpoints.newest(&mut |line| panic!("{line}")).unwrap().unwrap();
            let mut read = [0.0; 5];
            found.read("weights", NumbersMut::F32(&mut read)).unwrap();
            assert_eq!((&found.snapshot, read), (&snapshot, weights));
            assert_eq!(names(&disk), [20, 40].map(final_name));
        }
    }
}

#[test]
fn arrays_that_are_not_there_or_not_asked_for_are_errors() {
    let disk = run_with(1, &[20]);
    let open = || Checkpoints::new(&disk, Path::new(RUN), 1).newest(&mut |_| {}).unwrap().unwrap();
    let error = open().read("moments", NumbersMut::F32(&mut [])).unwrap_err().to_string();
    let expected =
        r#"cannot restore from /run/checkpoints/step-00000020: tensor "moments" is missing"#;
    assert_eq!(error, expected);
    let error = open().read("weights", NumbersMut::F32(&mut [0.0; 4])).unwrap_err().to_string();
    assert!(error.ends_with("numbers: expected 4 of F32, found 5 of F32"), "{error}");
    let error = open().finish().unwrap_err().to_string();
    assert!(error.ends_with("belongs to nothing"), "{error}");
}

#[test]
fn a_real_disk_keeps_checkpoints_too() {
    let folder = TemporaryFolder::new();
    let checkpoints = Checkpoints::new(&Disk, folder.path(), 2);
    assert!(checkpoints.newest(&mut |_| {}).unwrap().is_none());
    for step in [20, 40, 60] {
        let (weights, _) = numbers(step);
        let path = checkpoints.save(&snapshot(step), &|visit| {
            visit("weights", Numbers::F32(&weights));
        });
        assert_eq!(path.unwrap(), folder.path().join("checkpoints").join(final_name(step)));
    }
    assert_eq!(tree(&Disk, folder.path()).len(), 1 + 2 * (1 + FILES.len()));
    let mut found = checkpoints.newest(&mut |_| {}).unwrap().unwrap();
    assert_eq!(found.snapshot, snapshot(60));
    let mut weights = [0.0; 5];
    found.read("weights", NumbersMut::F32(&mut weights)).unwrap();
    found.finish().unwrap();
    assert_eq!(weights, numbers(60).0);
}
