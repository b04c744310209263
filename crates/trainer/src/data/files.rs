//! Which files a path, a folder or a pattern stands for.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};

use crate::error::{Error, Result};

/// The files of a text: the file itself, the regular files below a folder in the order of their paths, or those that
/// a pattern (`*`, `?`, `[a-z]`, `**`) matches. What exists under a name is not taken for a pattern.
///
/// # Errors
/// [`Error::File`] for what cannot be read, [`Error::Data`] where there is no file.
pub(crate) fn files_of(data: &Path) -> Result<Vec<PathBuf>> {
    let files = match fs::metadata(data) {
        Ok(found) if found.is_dir() => {
            let mut files = Vec::new();
            below(data, &|_| true, &mut files)?;
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

/// Whether a file, given by its whole path without links, would be of a text once it is there.
pub(crate) fn would_read(data: &Path, file: &Path) -> bool {
    let within = |folder: &Path| {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let folder = folder.canonicalize().ok()?;
        file.strip_prefix(folder).ok()
    };
    if data.is_dir() {
        return within(data).is_some();
    }
    let Some(pattern) = data.to_str().filter(|_| !data.exists()) else { return false };
    let (folder, names) = split(pattern);
    let rest = Pattern::new(&names.join("/"));
    let is_matched = |rest: Pattern| {
        within(&folder).is_some_and(|within| rest.matches_path_with(within, OPTIONS))
    };
    rest.is_ok_and(is_matched)
}

/// Adds the regular files of a folder and of those below it that `enters` says yes to. A link to a file is followed, one
/// to a folder is not: it may lead back.
fn below(folder: &Path, enters: &dyn Fn(&Path) -> bool, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(Error::file("read the folder", folder))? {
        let entry = entry.map_err(Error::file("read the folder", folder))?;
        let path = entry.path();
        let kind = entry.file_type().map_err(Error::file("find", &path))?;
        if kind.is_dir() {
            if enters(&path) {
                below(&path, enters, files)?;
            }
        } else if kind.is_file() || kind.is_symlink() && path.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

/// How patterns match: `*`, `?` and `[letters]` stay within a name, `**` is any folders.
const OPTIONS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

/// The regular files of a pattern, in the order of their paths. Links to folders are followed in the names before its
/// first wildcard only.
fn matching(data: &Path, pattern: &str) -> Result<Vec<PathBuf>> {
    let wrong = |problem: glob::PatternError| {
        Error::data(data, "a pattern of *, ?, [letters] and **", problem.to_string())
    };
    Pattern::new(pattern).map_err(wrong)?;
    let (folder, names) = split(pattern);
    let rest = Pattern::new(&names.join("/")).map_err(wrong)?;
    let names: Vec<Pattern> =
        names.iter().map(|name| Pattern::new(name).map_err(wrong)).collect::<Result<_>>()?;
    let from = if folder.as_os_str().is_empty() { Path::new(".") } else { &*folder };
    if let Err(problem) = fs::metadata(from) {
        return match problem.kind() {
            io::ErrorKind::NotFound => Ok(Vec::new()),
            _ => Err(Error::file("read the folder", from)(problem)),
        };
    }
    let within = |path: &Path| path.strip_prefix(from).unwrap_or(path).to_owned();
    // Other folders need not be readable, nor small.
    let enters = |path: &Path| {
        let path = within(path);
        let (mut found, mut names) = (path.components(), names.iter());
        loop {
            match (found.next(), names.next()) {
                (None, name) => return name.is_some(),
                (Some(_), Some(name)) if name.as_str() == "**" => return true,
                (Some(part), Some(name)) if name.matches_path_with(part.as_ref(), OPTIONS) => {}
                _ => return false,
            }
        }
    };
    let mut files = Vec::new();
    below(from, &enters, &mut files)?;
    files.retain(|path| rest.matches_path_with(&within(path), OPTIONS));
    let mut files: Vec<PathBuf> = files.iter().map(|path| folder.join(within(path))).collect();
    files.sort();
    Ok(files)
}

/// The folder that a pattern begins with, up to its first wildcard, and the names after it.
fn split(pattern: &str) -> (PathBuf, Vec<&str>) {
    let (mut folder, mut names) = (PathBuf::new(), Vec::new());
    let mut parts = Path::new(pattern).components().filter_map(|part| part.as_os_str().to_str());
    let mut next = parts.next();
    while let Some(part) = next {
        next = parts.next();
        match literal(part) {
            // The last name is that of files, wildcard or not.
            Some(part) if names.is_empty() && next.is_some() => folder.push(part),
            _ => names.push(part),
        }
    }
    (folder, names)
}

/// The only name that a part of a pattern matches, if there is but one: `[*]` is an asterisk.
fn literal(part: &str) -> Option<String> {
    let (mut name, mut rest) = (String::new(), part.chars());
    while let Some(letter) = rest.next() {
        name.push(match letter {
            '*' | '?' => return None,
            '[' => {
                let escaped = rest.next()?;
                (rest.next() == Some(']') && escaped != '!').then_some(escaped)?
            }
            letter => letter,
        });
    }
    Some(name)
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

    #[cfg(unix)]
    #[test]
    fn a_pattern_finds_each_file_once_where_links_lead_back() {
        let folder = folder();
        std::os::unix::fs::symlink(folder.path(), folder.path().join("b/back")).unwrap();
        std::os::unix::fs::symlink("deep", folder.path().join("b/also")).unwrap();
        let all = ["a.txt", "b/deep/y.txt", "b/x.txt", "c.txt"];
        assert_eq!(names(&folder.path().join("**/*.txt"), &folder), all);
        // By its name, a link is a folder like others.
        assert_eq!(names(&folder.path().join("b/also/*"), &folder), ["b/also/y.txt"]);
    }

    #[test]
    fn a_pattern_looks_into_no_folder_that_it_cannot_match_in() {
        let folder = folder();
        assert_eq!(names(&folder.path().join("b/*.txt"), &folder), ["b/x.txt"]);
        assert_eq!(names(&folder.path().join("?/d*/*"), &folder), ["b/deep/y.txt"]);
        assert_eq!(names(&folder.path().join("[ab]/**/y.*"), &folder), ["b/deep/y.txt"]);
        assert_eq!(split("a/b*/c"), ("a".into(), vec!["b*", "c"]));
    }

    #[test]
    fn an_escaped_folder_is_the_folder_of_that_name() {
        let folder = folder();
        let odd = folder.path().join("a[1]*?");
        let Ok(()) = fs::create_dir(&odd) else { return };
        fs::write(odd.join("x.txt"), "").unwrap();
        let escaped = PathBuf::from(Pattern::escape(odd.to_str().unwrap())).join("*.txt");
        assert_eq!(names(&escaped, &folder), ["a[1]*?/x.txt"]);
        assert_eq!(literal("[[]a[]][*]"), Some("[a]*".into()));
        assert_eq!((literal("[ab]"), literal("a*"), literal("[!a]")), (None, None, None));
    }
}
