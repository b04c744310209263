//! Peers: other programs, run in turn with ours, that print their figures as JSON objects.

use std::process::{Command, Stdio};

use serde_json::{Map, Value};

use super::Result;

/// Runs a command through the system's shell and reads every line of its standard output that is a
/// JSON object. The command itself and which turn it was are added under `command` and `turn`.
pub(crate) fn run(command: &str, turn: usize) -> Result<Vec<Value>> {
    let (shell, flag) = if cfg!(windows) { ("cmd", "/C") } else { ("sh", "-c") };
    let output = Command::new(shell)
        .args([flag, command])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("peer {command:?}: {error}"))?;
    if !output.status.success() {
        return Err(format!("peer {command:?}: {}", output.status).into());
    }
    let objects = json_objects(&String::from_utf8_lossy(&output.stdout));
    if objects.is_empty() {
        let message = "expected a JSON object on a line of its standard output, found none";
        return Err(format!("peer {command:?}: {message}").into());
    }
    let named = |mut object: Map<String, Value>| {
        object.insert("command".into(), command.into());
        object.insert("turn".into(), turn.into());
        Value::Object(object)
    };
    Ok(objects.into_iter().map(named).collect())
}

fn json_objects(text: &str) -> Vec<Map<String, Value>> {
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_json_objects_are_read_and_others_passed_over() {
        let objects = json_objects("loading\n{\"ms\": 1.5}\n[1]\n3\n{broken\n{\"ms\": 2}\n");
        assert_eq!(objects.len(), 2);
        assert_eq!((&objects[0]["ms"], &objects[1]["ms"]), (&1.5.into(), &2.into()));
    }

    #[test]
    fn a_peer_is_named_beside_its_figures() {
        let figures = run("echo {}", 3).unwrap();
        assert_eq!(figures.len(), 1);
        assert_eq!((&figures[0]["command"], &figures[0]["turn"]), (&"echo {}".into(), &3.into()));
    }

    #[test]
    fn a_peer_that_fails_or_says_nothing_is_an_error() {
        let error = run("exit 3", 0).unwrap_err().to_string();
        assert!(error.contains("exit 3"), "{error}");
        assert!(run("echo hello", 0).unwrap_err().to_string().contains("found none"));
    }
}
