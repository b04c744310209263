//! Power cuts, full disks and errors at every operation of a save.

use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;

use super::*;
use crate::storage::faulty::Fault;
use crate::storage::{Entry, Output};

/// What a save was begun with: how many are kept, and which are there.
const BEGINNINGS: [(usize, &[u32]); 4] = [(1, &[]), (1, &[20]), (2, &[20, 40]), (1, &[20, 40])];
const STEP: u32 = 60;

/// A mistake that whoever writes such code may make.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Mistake {
    None,
    /// A file of this name is not synced.
    UnsyncedFile(&'static str),
    /// A directory whose name ends so is not synced.
    UnsyncedDirectory(&'static str),
    /// The directory is renamed before its files are synced, and those before that are removed.
    RenamedTooEarly,
    /// The old one is removed while the name of the new one is not synced.
    RemovedTooEarly,
}

/// A storage that makes a mistake on the way to another one.
#[derive(Debug)]
struct Mistaken<'a> {
    disk: &'a Faulty,
    mistake: Mistake,
    /// Whether the new checkpoint has its name.
    is_renamed: RefCell<bool>,
    /// What is to be synced too late.
    late: Late,
}

type Late = Rc<RefCell<Vec<Kept>>>;

struct Kept(Box<dyn Output>);

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a file")
    }
}

impl Mistaken<'_> {
    fn sync_late(&self) -> io::Result<()> {
        self.late.take().into_iter().try_for_each(|mut file| file.0.sync())
    }
}

impl Storage for Mistaken<'_> {
    fn create(&self, path: &Path) -> io::Result<Box<dyn Output>> {
        let file = self.disk.create(path)?;
        let name = path.file_name().unwrap().to_str().unwrap();
        Ok(match self.mistake {
            Mistake::UnsyncedFile(unsynced) if unsynced == name => {
                Box::new(Unsynced { file: Some(file), late: None })
            }
            Mistake::RenamedTooEarly => {
                Box::new(Unsynced { file: Some(file), late: Some(self.late.clone()) })
            }
            _ => file,
        })
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Input>> {
        self.disk.open(path)
    }

    fn make_directory(&self, path: &Path) -> io::Result<()> {
        self.disk.make_directory(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)?;
        *self.is_renamed.borrow_mut() |= to.ends_with(final_name(STEP));
        Ok(())
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        match self.mistake {
            Mistake::UnsyncedDirectory(end) if path.to_str().unwrap().ends_with(end) => Ok(()),
            // The first sync after the rename is that of the name.
            Mistake::RemovedTooEarly if self.is_renamed.take() => Ok(()),
            _ => self.disk.sync_directory(path),
        }
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.disk.list(path)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_file(path)
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_directory(path)?;
        self.sync_late()
    }
}

/// A file that is not synced, or later.
struct Unsynced {
    file: Option<Box<dyn Output>>,
    late: Option<Late>,
}

impl Write for Unsynced {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.as_mut().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Output for Unsynced {
    fn sync(&mut self) -> io::Result<()> {
        if let (Some(late), Some(file)) = (&self.late, self.file.take()) {
            late.borrow_mut().push(Kept(file));
        }
        Ok(())
    }
}

/// Saves on a disk by a code that makes a mistake.
fn save_mistaken(disk: &Faulty, mistake: Mistake, keep: usize) -> Result<PathBuf> {
    let (is_renamed, late) = (RefCell::default(), Late::default());
    save(&Mistaken { disk, mistake, is_renamed, late }, keep, STEP)
}

/// What is wrong with a disk that should have the checkpoint of `STEP`, or else that of `before`.
fn wrong(disk: &Faulty, before: Option<u32>, is_saved: bool) -> Option<String> {
    match newest(disk) {
        Ok((Some(STEP), _)) => None,
        Ok((found, _)) if found == before && !is_saved => None,
        found => Some(format!("found {found:?}, saved: {is_saved}")),
    }
}

/// Cuts the power at every operation of a save, and looks at every disk that may be left: what is wrong with which.
fn power_cuts(mistake: Mistake) -> Vec<String> {
    let mut all_wrong = Vec::new();
    for (keep, before) in BEGINNINGS {
        let begun = run_with(keep, before);
        let last = before.last().copied();
        let whole = begun.copy(Fault::None);
        save_mistaken(&whole, mistake, keep).unwrap();
        for at in 0..=whole.operations() {
            let disk = begun.copy(Fault::PowerCut(at));
            let is_saved = save_mistaken(&disk, mistake, keep).is_ok();
            assert_eq!(is_saved, at >= whole.operations());
            for left in disk.crashed() {
                let wrong = wrong(&left, last, is_saved);
                all_wrong.extend(wrong.map(|wrong| format!("{keep} {before:?} {at}: {wrong}")));
            }
        }
    }
    all_wrong
}

#[test]
fn after_a_power_cut_anywhere_there_is_the_old_checkpoint_or_the_new_one() {
    assert_eq!(power_cuts(Mistake::None), Vec::<String>::new());
}

#[test]
fn the_test_notices_a_sync_that_is_missing_and_a_removal_that_is_too_early() {
    let files = ["arrays.safetensors", "state.json", "manifest.json"].map(Mistake::UnsyncedFile);
    let folders = [".step-00000060.new", "checkpoints", "run"].map(Mistake::UnsyncedDirectory);
    let order = [Mistake::RenamedTooEarly, Mistake::RemovedTooEarly];
    for mistake in files.into_iter().chain(folders).chain(order) {
        assert!(!power_cuts(mistake).is_empty(), "{mistake:?}");
    }
}

#[test]
fn a_run_goes_on_saving_after_a_power_cut_anywhere() {
    let (keep, before) = (2, [20, 40]);
    let begun = run_with(keep, &before);
    let whole = begun.copy(Fault::None);
    save(&whole, keep, STEP).unwrap();
    for at in 0..=whole.operations() {
        let disk = begun.copy(Fault::PowerCut(at));
        let _ = save(&disk, keep, STEP);
        for (number, left) in disk.crashed().into_iter().enumerate() {
            // From the old one, the same step is reached again; from the new one, the next.
            for step in [STEP, 80] {
                let left = left.copy(Fault::None);
                save(&left, keep, step).unwrap();
                assert_eq!(newest(&left).unwrap(), (Some(step), vec![]), "{at} {number}");
                let folders = left.list(&Path::new(RUN).join("checkpoints")).unwrap();
                assert_eq!(folders.len(), 2, "{folders:?}");
                // All disks would be as many again for each.
                let mut again = left.crashed();
                again.truncate(3);
                assert!(again.iter().all(|left| newest(left).unwrap().0 == Some(step)));
            }
        }
    }
}

#[test]
fn an_error_or_a_full_disk_at_any_operation_leaves_the_last_checkpoint_good() {
    for (keep, before) in BEGINNINGS {
        let begun = run_with(keep, before);
        let last = before.last().copied();
        let whole = begun.copy(Fault::None);
        save(&whole, keep, STEP).unwrap();
        for at in 0..whole.operations() {
            for fault in [Fault::Error(at), Fault::DiskFull(at)] {
                let disk = begun.copy(fault);
                let is_saved = save(&disk, keep, STEP).is_ok();
                assert!(!is_saved || matches!(fault, Fault::DiskFull(_)), "{fault:?}");
                let left = disk.crashed();
                disk.repair();
                // Nothing half-written takes the room.
                let entries = disk.list(&Path::new(RUN).join("checkpoints")).unwrap_or_default();
                for new in entries.iter().filter(|entry| entry.name().unwrap().ends_with(".new")) {
                    assert_eq!(disk.list(&new.path).unwrap().len(), 3, "{fault:?}");
                }
                for left in left.iter().chain([&disk]) {
                    assert_eq!(wrong(left, last, is_saved), None, "{keep} {before:?} {fault:?}");
                }
                // Once there is room again, the same save succeeds for good.
                save(&disk, keep, STEP).unwrap();
                for left in disk.crashed() {
                    assert_eq!(wrong(&left, last, true), None, "{keep} {before:?} {fault:?}");
                }
            }
        }
    }
}
