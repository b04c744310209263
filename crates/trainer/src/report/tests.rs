use super::synthetic::{HOSTILE, run, run_in};
use super::*;
use crate::error::Error;
use crate::run::{Measure, Unit};
use crate::temporary::TemporaryFolder;

fn page(folder: &TemporaryFolder) -> String {
    let path = write(folder.path()).unwrap();
    assert_eq!(path, folder.path().join(FILE));
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn the_page_of_a_run_tells_everything_and_needs_nothing() {
    let folder = TemporaryFolder::new();
    run(folder.path(), 240, 240, &["model.width=96"]);
    let page = page(&folder);
    for told in [
        "Loss",
        "Learning rate",
        "Gradient norm",
        "Flips",
        "Zeros",
        "Speed",
        "Memory",
        "Divergence",
        "slopes",
        "Distance to the floor",
        "floor 0.512",
        "baseline 1.95",
        "clip 1",
        "What it writes",
        "Ternary matrices",
        "dead zone",
        "drift",
        "Configuration",
        "model.width",
        "finished",
        "left out: the gradient",
        "Once upon a time",
        "name=\"viewport\"",
        "prefers-color-scheme: dark",
    ] {
        assert!(page.contains(told), "{told}");
    }
    for wanted in ["http:", "https:", "src=\"", "href=", "url(", "@import"] {
        assert!(!page.contains(wanted), "{wanted}");
    }
}

#[test]
fn a_text_that_means_harm_stays_text() {
    let folder = TemporaryFolder::new();
    run(folder.path(), 60, 60, &[]);
    let page = page(&folder);
    assert!(
        !page.contains(HOSTILE) && !page.contains("<img") && !page.contains("alert(1)</script>")
    );
    assert!(page.contains("&lt;/pre&gt;&lt;script&gt;alert(1)"));
    assert!(!page.contains('\0') && !page.contains('\u{202e}'));
    // One for each chart, and the one of the page.
    let charts = page.matches("<figure").count();
    assert_eq!(page.matches("</script>").count(), charts + 1);
}

#[test]
fn a_run_that_is_not_finished_has_a_page_too() {
    let folder = TemporaryFolder::new();
    run(folder.path(), 240, 100, &[]);
    assert!(page(&folder).contains("unfinished: step 100 of 240"));
    let folder = TemporaryFolder::new();
    run(folder.path(), 240, 0, &[]);
    assert!(page(&folder).contains("unfinished: step 0 of 240"));
}

#[test]
fn elements_that_are_opened_are_closed() {
    let folder = TemporaryFolder::new();
    run(folder.path(), 60, 60, &[]);
    let page = page(&folder);
    for name in
        ["section", "div", "figure", "svg", "dl", "details", "article", "script", "p", "ul", "main"]
    {
        let opened =
            page.matches(&format!("<{name}>")).count() + page.matches(&format!("<{name} ")).count();
        assert_eq!(opened, page.matches(&format!("</{name}>")).count(), "{name}");
        assert!(opened > 0, "{name}");
    }
}

#[test]
fn the_page_of_a_long_run_stays_small() {
    let folder = TemporaryFolder::new();
    run(folder.path(), 20_000, 20_000, &[]);
    let length = page(&folder).len();
    assert!(length < 900_000, "{length}");
}

#[test]
fn a_folder_that_is_no_run_is_an_error_that_says_what_is_missing() {
    let folder = TemporaryFolder::new();
    let error = write(folder.path()).unwrap_err();
    let said = error.to_string();
    assert!(matches!(error, Error::RunFile { .. }));
    assert!(said.contains("a folder without config.toml and metrics.jsonl"), "{said}");
    folder.file("config.toml", "steps = 3");
    let said = write(folder.path()).unwrap_err().to_string();
    assert!(said.ends_with("found a folder without metrics.jsonl"), "{said}");
    let said = write(&folder.path().join("nowhere")).unwrap_err().to_string();
    assert!(said.contains("found no folder"), "{said}");
    assert!(!folder.path().join(FILE).exists());
}

#[test]
fn runs_are_compared_by_their_numbers_and_by_the_settings_that_differ() {
    let [one, other] = [TemporaryFolder::new(), TemporaryFolder::new()];
    run(one.path(), 120, 120, &["seed=3"]);
    run(other.path(), 240, 90, &["ternary.ramp=0.5"]);
    let folders = [one.path().to_owned(), other.path().to_owned()];
    let comparison = Comparison::read(&folders).unwrap();
    let table = comparison.to_string();
    for told in [
        "held-out loss",
        "above the floor",
        "finished",
        "unfinished: step 90 of 240",
        "ternary.ramp",
    ] {
        assert!(table.contains(told), "{told}\n{table}");
    }
    assert!(!table.contains("model.width"), "{table}");
    let widths: Vec<usize> = table.lines().map(|line| line.chars().count()).collect();
    assert!(widths.windows(2).all(|pair| pair[0] == pair[1]), "{table}");
    let json = comparison.to_json();
    assert_eq!((&json[0]["is_finished"], &json[1]["is_finished"]), (&true.into(), &false.into()));
    assert_eq!(
        (&json[0]["settings"]["seed"], &json[1]["figures"]["steps"]),
        (&"3".into(), &90.0.into())
    );
    let path = one.path().join("compare.html");
    comparison.write(&path).unwrap();
    let page = std::fs::read_to_string(path).unwrap();
    assert!(page.contains("2 runs compared") && page.contains("Settings that differ"));
    assert!(page.contains("Held-out loss") && page.contains("class=\"line c2\""));
    let error = Comparison::read(&[one.path().to_owned(), "nowhere".into()]).unwrap_err();
    assert!(error.to_string().contains("nowhere"), "{error}");
}

#[test]
fn losses_in_different_units_are_not_set_against_each_other() {
    let tokens = |bytes_per_token| Measure { unit: Unit::Token, bytes_per_token };
    let compared = |other: Measure| {
        let folders = [TemporaryFolder::new(), TemporaryFolder::new()];
        run(folders[0].path(), 120, 120, &[]);
        run_in(folders[1].path(), 120, 60, &["seed=3"], other);
        let comparison =
            Comparison::read(&folders.each_ref().map(|one| one.path().to_owned())).unwrap();
        let path = folders[0].path().join("compare.html");
        comparison.write(&path).unwrap();
        (comparison.to_string(), std::fs::read_to_string(path).unwrap())
    };
    let best = |page: &str, name: &str| {
        let row = page.split("<tr>").find(|row| row.contains(&format!(">{name}</th>"))).unwrap();
        row.contains("class=\"best\"")
    };
    let (table, page) = compared(tokens(Some(4.0)));
    let unit = table.lines().find(|line| line.starts_with("unit ")).unwrap();
    assert!(unit.contains("byte") && unit.ends_with("token of 4.00 bytes"), "{table}");
    assert!(page.contains("Bits per byte on text") && !page.contains(">floor "));
    for name in ["held-out loss", "best held-out loss", "perplexity", "above the floor"] {
        assert!(!best(&page, name), "{name}");
    }
    assert!(best(&page, "bits per byte") && !page.contains("not comparable"));
    let (_, page) = compared(tokens(None));
    assert!(page.contains("their losses are not comparable") && !page.contains(">floor "));
    let (table, page) = compared(Measure::BYTES);
    assert!(table.lines().any(|line| line.starts_with("unit ")), "{table}");
    assert!(page.contains("Nats per byte on text") && page.contains(">floor 0.512"));
    assert!(best(&page, "held-out loss") && best(&page, "above the floor"));
}

/// Leaves a page of all kinds of records for a browser: `TERNARY_SYNTHETIC_RUN=FOLDER cargo test -p trainer --lib
/// synthetic_run -- --ignored`, with a folder that is there and empty.
#[test]
#[ignore = "it writes into a folder of one's choice"]
fn a_synthetic_run_is_left_to_be_looked_at() {
    let folder = std::env::var_os("TERNARY_SYNTHETIC_RUN").map(PathBuf::from).unwrap();
    run(&folder, 2000, 2000, &["model.width=96", "ste=progressive"]);
    assert!(write(&folder).unwrap().is_file());
}
