//! Which files a path, a folder or a pattern stands for.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The files of a text: the file itself, the regular files below a folder in the order of their paths, or those that
/// a pattern (`*`, `?`, `[a-z]`, `**`) matches. What exists under a name is not taken for a pattern.
///
/// # Errors
/// [`Error::File`] for what cannot be read, [`Error::Data`] where there is no file.
pub(super) fn files_of(data: &Path) -> Result<Vec<PathBuf>> {
    let files = match fs::metadata(data) {
        Ok(found) if found.is_dir() => {
            let mut files = Vec::new();
            below(data, &mut files)?;
            files.sort();
            files
        }
        Ok(_) => return Ok(vec![data.to_owned()]),
        Err(problem) => match data.to_str().filter(|name| name.contains(['*', '?', '['])) {
            Some(pattern) => matching(data, pattern)?,
            None => return Err(Error::file("read the text", data)(problem)),
        },
    };
    if files.is_empty() {
        return Err(Error::data(data, "at least one file in it, or of that pattern", "none"));
    }
    Ok(files)
}

/// Adds the regular files of a folder and of those below it. A link to a file is followed, one to a folder is not: it
/// may lead back.
fn below(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(Error::file("read the folder", folder))? {
        let entry = entry.map_err(Error::file("read the folder", folder))?;
        let path = entry.path();
        let kind = entry.file_type().map_err(Error::file("find", &path))?;
        if kind.is_dir() {
            below(&path, files)?;
        } else if kind.is_file() || kind.is_symlink() && path.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

/// The regular files of a pattern, in the order of their paths.
fn matching(data: &Path, pattern: &str) -> Result<Vec<PathBuf>> {
    let found = glob::glob(pattern).map_err(|problem| {
        Error::data(data, "a pattern of *, ?, [letters] and **", problem.to_string())
    })?;
    let mut files = Vec::new();
    for path in found {
        let path = path.map_err(|problem| {
            let path = problem.path().to_owned();
            Error::file("read the folder", &path)(problem.into())
        })?;
        if path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::temporary::TemporaryFolder;

    fn names(data: &Path, folder: &TemporaryFolder) -> Vec<String> {
        let short = |path: PathBuf| {
            path.strip_prefix(folder.path()).unwrap().to_string_lossy().replace('\\', "/")
        };
        files_of(data).unwrap().into_iter().map(short).collect()
    }

    fn folder() -> TemporaryFolder {
        let folder = TemporaryFolder::new();
        fs::create_dir_all(folder.path().join("b/deep")).unwrap();
        for name in ["c.txt", "a.txt", "b/z.md", "b/deep/y.txt", "b/x.txt"] {
            folder.file(name, name);
        }
        folder
    }

    #[test]
    fn a_folder_stands_for_all_files_below_it_in_the_order_of_their_paths() {
        let folder = folder();
        let all = ["a.txt", "b/deep/y.txt", "b/x.txt", "b/z.md", "c.txt"];
        assert_eq!(names(folder.path(), &folder), all);
    }

    #[test]
    fn a_pattern_stands_for_the_files_that_match_and_not_for_folders() {
        let folder = folder();
        assert_eq!(names(&folder.path().join("*"), &folder), ["a.txt", "c.txt"]);
        let deep = ["a.txt", "b/deep/y.txt", "b/x.txt", "c.txt"];
        assert_eq!(names(&folder.path().join("**/*.txt"), &folder), deep);
    }

    #[test]
    fn a_file_whose_name_looks_like_a_pattern_is_that_file() {
        let folder = folder();
        folder.file("[a].txt", "");
        assert_eq!(names(&folder.path().join("[a].txt"), &folder), ["[a].txt"]);
    }

    #[test]
    fn where_there_is_no_file_the_error_names_what_was_asked_for() {
        let folder = TemporaryFolder::new();
        for name in ["", "*.txt", "missing.txt", "a[", "a***"] {
            let data = folder.path().join(name);
            let error = files_of(&data).unwrap_err().to_string();
            assert!(error.contains(&*folder.path().join(name).to_string_lossy()), "{error}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_link_back_to_a_folder_is_not_followed() {
        let folder = folder();
        std::os::unix::fs::symlink(folder.path(), folder.path().join("b/back")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("a.txt"), folder.path().join("d.txt"))
            .unwrap();
        let all = ["a.txt", "b/deep/y.txt", "b/x.txt", "b/z.md", "c.txt", "d.txt"];
        assert_eq!(names(folder.path(), &folder), all);
    }
}
