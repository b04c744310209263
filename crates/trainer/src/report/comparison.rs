//! Several runs beside each other: a table, and a page with their curves over each other.

use std::fmt::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::curves;
use super::history::History;
use super::html::escape;
use super::number::{bytes, count, seconds, tenths};
use super::page::{MARK, document};
use super::units::{Units, shared_floor};
use crate::error::Result;
use crate::run::write_whole;

/// Several runs, finished or not.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    runs: Vec<History>,
    /// The names of their folders, or the paths where two have the same.
    names: Vec<String>,
}

/// A line of the table.
struct Row {
    name: String,
    cells: Vec<String>,
    /// The best of the cells, where one is better than all others.
    best: Option<usize>,
}

/// Which numbers are better.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Better {
    Less,
    /// Less, of runs whose losses have the same unit.
    LessInUnit,
    /// Less, of runs that have the same floor too.
    LessAboveFloor,
    More,
    Neither,
}

/// A number of a run, and how it is shown.
type Figure = (&'static str, Better, fn(&History) -> Option<f64>, fn(f64) -> String);

/// The numbers that runs are compared by.
const FIGURES: &[Figure] = &[
    ("steps", Better::Neither, |run| Some(run.steps_done().into()), |n| format!("{n}")),
    ("held-out loss", Better::LessInUnit, History::held_out, |n| format!("{n:.4}")),
    ("best held-out loss", Better::LessInUnit, |run| Some(run.best()?.1), |n| format!("{n:.4}")),
    ("at step", Better::Neither, |run| Some(run.best()?.0.into()), |n| format!("{n}")),
    ("above the floor", Better::LessAboveFloor, above_floor, |n| format!("{n:.4}")),
    ("perplexity", Better::LessInUnit, |run| Some(run.held_out()?.exp()), |n| format!("{n:.3}")),
    ("bits per byte", Better::Less, bits_per_byte, |n| format!("{n:.4}")),
    ("tokens/s", Better::More, History::tokens_per_second, count),
    ("time", Better::Neither, History::seconds, seconds),
    ("peak memory", Better::Less, |run| Some(run.peak_memory()? as f64), |n| bytes(n)),
    ("packed weights", Better::Neither, |run| Some(run.start?.packed as f64), |n| bytes(n)),
    ("parameters", Better::Neither, |run| Some(run.start?.parameters as f64), |n| count(n)),
    ("zeros", Better::Neither, History::sparsity, tenths),
];

fn above_floor(run: &History) -> Option<f64> {
    Some(run.held_out()? - run.floor()?)
}

/// The unit of the losses of a run, with the bytes of a token where they are known.
fn unit(run: &History) -> String {
    let measure = run.measure();
    let bytes = measure.bytes_per_token.map(|bytes| format!(" of {bytes:.2} bytes"));
    format!("{}{}", measure.unit.name(), bytes.unwrap_or_default())
}

fn bits_per_byte(run: &History) -> Option<f64> {
    run.measure().bits_per_byte(run.held_out()?)
}

impl Comparison {
    /// Reads the folders of some runs.
    ///
    /// # Errors
    /// As [`History::read`], for the first that fails.
    pub fn read(folders: &[PathBuf]) -> Result<Self> {
        let runs =
            folders.iter().map(|folder| History::read(folder)).collect::<Result<Vec<_>>>()?;
        let names: Vec<String> = runs.iter().map(History::name).collect();
        let is_alone = |name: &String| names.iter().filter(|other| *other == name).count() == 1;
        let named = names.iter().zip(folders).map(|(name, folder)| {
            if is_alone(name) { name.clone() } else { folder.display().to_string() }
        });
        Ok(Self { names: named.collect(), runs })
    }

    /// Each run as a JSON object: its numbers, and its values of the settings that differ.
    pub fn to_json(&self) -> Value {
        let differing = self.differing();
        let runs = self.runs.iter().zip(&self.names).map(|(run, name)| {
            let (status, is_finished) = run.status();
            let figures = FIGURES
                .iter()
                .map(|(name, _, read, _)| (name.replace([' ', '-', '/'], "_"), json!(read(run))));
            let figures: Map<String, Value> = figures.collect();
            let settings = differing.iter().map(|key| (key.clone(), json!(run.setting(key))));
            let settings: Map<String, Value> = settings.collect();
            json!({
                "name": name,
                "folder": run.folder.display().to_string(),
                "status": status,
                "is_finished": is_finished,
                "unit": run.measure().unit,
                "figures": figures,
                "settings": settings,
            })
        });
        Value::Array(runs.collect())
    }

    /// Writes the page, whole or not at all.
    ///
    /// # Errors
    /// [`Error::File`](crate::Error::File).
    pub fn write(&self, path: &Path) -> Result<()> {
        write_whole(path, self.to_html().as_bytes())
    }

    /// The page.
    fn to_html(&self) -> String {
        let runs: Vec<&History> = self.runs.iter().collect();
        let mut body = format!(
            "<header><p class=\"brand\">{MARK} ternary</p><h1>{} runs compared</h1></header>",
            self.runs.len()
        );
        body += "<div class=\"table\"><table><thead><tr><th></th>";
        for (index, name) in self.names.iter().enumerate() {
            let _ = write!(
                body,
                "<th><i class=\"c{}\"></i>{}</th>",
                curves::colour(index),
                escape(name)
            );
        }
        body += "</tr></thead><tbody>";
        html_rows(&mut body, &self.figures());
        let settings = self.settings();
        if !settings.is_empty() {
            let span = self.runs.len() + 1;
            let _ = write!(
                body,
                "<tr class=\"heading\"><th colspan=\"{span}\">Settings that differ</th></tr>"
            );
            html_rows(&mut body, &settings);
        }
        body += "</tbody></table></div>";
        let charts = curves::of_runs(&runs, &self.names);
        let (wide, others): (Vec<_>, Vec<_>) = charts.iter().partition(|chart| chart.is_wide);
        wide.iter().for_each(|chart| body += &chart.to_html_for_any_screen());
        body += "<div class=\"charts\">";
        others.iter().for_each(|chart| body += &chart.to_html());
        body += "</div>";
        document(&format!("{} · ternary", self.names.join(", ")), &body)
    }

    /// The settings in which the runs are not all alike.
    fn differing(&self) -> Vec<String> {
        let mut keys: Vec<String> = Vec::new();
        for chosen in self.runs.iter().flat_map(|run| &run.settings) {
            let values = || self.runs.iter().map(|run| run.setting(&chosen.key));
            if !keys.contains(&chosen.key) && values().any(|value| value != chosen.value.as_deref())
            {
                keys.push(chosen.key.clone());
            }
        }
        keys
    }

    fn settings(&self) -> Vec<Row> {
        let row = |key: String| {
            let cells =
                self.runs.iter().map(|run| run.setting(&key).unwrap_or("absent").to_owned());
            Row { cells: cells.collect(), name: key, best: None }
        };
        self.differing().into_iter().map(row).collect()
    }

    fn figures(&self) -> Vec<Row> {
        let words = |name: &str, read: fn(&History) -> String| {
            let cells = self.runs.iter().map(read).collect();
            Row { name: name.to_owned(), cells, best: None }
        };
        let mut rows = vec![words("status", |run| run.status().0), words("unit", unit)];
        for (name, better, read, show) in FIGURES {
            let values: Vec<Option<f64>> = self.runs.iter().map(read).collect();
            if values.iter().any(Option::is_some) {
                let cells = values.iter().map(|value| value.map_or("–".to_owned(), show));
                let (name, cells) = ((*name).to_owned(), cells.collect());
                rows.push(Row { name, cells, best: best(&values, self.better(*better)) });
            }
        }
        rows
    }

    /// Which numbers are better among these runs: where they cannot be compared, neither.
    fn better(&self, better: Better) -> Better {
        let have_unit = || matches!(Units::of(&self.runs), Units::Same(_));
        let is_comparable = match better {
            Better::LessInUnit => have_unit(),
            Better::LessAboveFloor => have_unit() && shared_floor(&self.runs).is_some(),
            Better::Less | Better::More | Better::Neither => return better,
        };
        if is_comparable { Better::Less } else { Better::Neither }
    }
}

/// The place of the best number, if it is better than every other.
fn best(values: &[Option<f64>], better: Better) -> Option<usize> {
    let sign = if better == Better::More { -1.0 } else { 1.0 };
    let known =
        || values.iter().enumerate().filter_map(|(index, value)| Some((index, sign * (*value)?)));
    let (place, least) = known().min_by(|a, b| a.1.total_cmp(&b.1))?;
    let is_alone = known().filter(|(_, value)| *value == least).count() == 1;
    (better != Better::Neither && is_alone && known().count() > 1).then_some(place)
}

fn html_rows(out: &mut String, rows: &[Row]) {
    for Row { name, cells, best } in rows {
        let _ = write!(out, "<tr><th scope=\"row\">{}</th>", escape(name));
        for (index, cell) in cells.iter().enumerate() {
            let class = if *best == Some(index) { " class=\"best\"" } else { "" };
            let _ = write!(out, "<td{class}>{}</td>", escape(cell));
        }
        *out += "</tr>";
    }
}

impl fmt::Display for Comparison {
    /// The table, in columns.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heading = Row { name: String::new(), cells: self.names.clone(), best: None };
        let mut rows = vec![heading];
        rows.extend(self.figures());
        rows.extend(self.settings());
        let width = |text: &String| text.chars().count();
        let first = rows.iter().map(|row| width(&row.name)).max().unwrap_or(0);
        let columns = (0..self.runs.len())
            .map(|column| rows.iter().map(|row| width(&row.cells[column])).max().unwrap_or(0));
        let columns: Vec<usize> = columns.collect();
        for (index, row) in rows.iter().enumerate() {
            let name = &row.name;
            write!(f, "{}{name:first$}", if index == 0 { "" } else { "\n" })?;
            for (cell, width) in row.cells.iter().zip(&columns) {
                write!(f, "  {cell:>width$}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_is_better_than_every_other() {
        let best = |values: &[Option<f64>], better| super::best(values, better);
        assert_eq!(best(&[Some(2.0), None, Some(1.0)], Better::Less), Some(2));
        assert_eq!(best(&[Some(2.0), Some(1.0)], Better::More), Some(0));
        assert_eq!(best(&[Some(1.0), Some(1.0), Some(3.0)], Better::Less), None);
        assert_eq!(best(&[Some(1.0), None], Better::Less), None);
        assert_eq!(best(&[Some(1.0), Some(2.0)], Better::Neither), None);
    }
}
