//! Goals, and how far the rows of a report come.

use std::fmt::Write;

use serde_json::{Value, json};

use super::report::{Row, Spec, percent};

/// A goal, and the figures of a run that are held to it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Goal {
    name: String,
    /// The least that every figure has to reach; none where the figures are for information.
    least: Option<f64>,
    figures: Vec<Figure>,
}

/// What one row reaches.
#[derive(Debug, Clone, PartialEq)]
struct Figure {
    value: f64,
    /// Where it was measured.
    at: String,
    /// Not so where a row is not steady, or above its roof.
    trusted: bool,
}

impl Goal {
    /// A goal over the figures that `figure` finds in rows, with whether they may be believed; `None`
    /// passes a row over.
    pub(crate) fn over<'a, S: Spec + 'a>(
        name: impl Into<String>,
        least: Option<f64>,
        rows: impl IntoIterator<Item = &'a Row<S>>,
        figure: impl Fn(&'a Row<S>) -> Option<(f64, bool)>,
    ) -> Self {
        let of_row = |row: &'a Row<S>| {
            let (value, trusted) = figure(row)?;
            Some(Figure { value, at: row.spec.at(), trusted })
        };
        let figures = rows.into_iter().filter_map(of_row).collect();
        Self { name: name.into(), least, figures }
    }

    /// The worst figure; none where no row of this run says anything about the goal.
    fn worst(&self) -> Option<&Figure> {
        self.figures.iter().min_by(|a, b| a.value.total_cmp(&b.value))
    }

    /// Figures that should not be trusted.
    pub(crate) fn doubtful(&self) -> usize {
        self.figures.iter().filter(|figure| !figure.trusted).count()
    }

    /// Whether every figure reaches it; none where nothing was measured, where figures that seem to
    /// reach it are doubtful, and where there is nothing to reach.
    pub(crate) fn met(&self) -> Option<bool> {
        match self.worst()?.value >= self.least? {
            true if self.doubtful() > 0 => None,
            reached => Some(reached),
        }
    }

    /// One line for people.
    pub(crate) fn line(&self) -> String {
        let verdict = match (self.worst(), self.met()) {
            (None, _) => "not measured",
            (_, Some(true)) => "met",
            (_, Some(false)) => "NOT MET",
            _ if self.least.is_none() => "no goal",
            _ => "not steady",
        };
        let at = match self.worst() {
            Some(worst) if !worst.at.is_empty() => format!(" at {}", worst.at),
            _ => String::new(),
        };
        let doubt = match self.doubtful() {
            0 => String::new(),
            count => format!(" ({count} of {} rows not steady)", self.figures.len()),
        };
        let worst = percent(self.worst().map(|worst| worst.value));
        let least = percent(self.least);
        format!("{verdict:<12} {worst:>7} of {least:>6}  {}{at}{doubt}", self.name)
    }

    /// Its line, and below it one for each figure.
    pub(crate) fn lines(&self) -> String {
        let mut lines = self.line();
        for Figure { value, at, trusted } in &self.figures {
            let verdict = match (self.least, trusted) {
                (_, false) => "not steady",
                (Some(least), _) if *value < least => "NOT MET",
                (Some(_), _) => "met",
                (None, _) => "",
            };
            let (value, least) = (percent(Some(*value)), percent(self.least));
            // Writing to a string cannot fail.
            let _ = write!(lines, "\n  {verdict:<10} {value:>7} of {least:>6}    {at}");
        }
        lines
    }

    /// The goal as JSON.
    pub(crate) fn to_json(&self) -> Value {
        let figure = |figure: &Figure| json!({ "value": figure.value, "at": figure.at, "trusted": figure.trusted });
        json!({
            "goal": self.name,
            "least": self.least,
            "worst": self.worst().map(|worst| worst.value),
            "at": self.worst().map_or("", |worst| &worst.at),
            "met": self.met(),
            "rows": self.figures.len(),
            "doubtful": self.doubtful(),
            "figures": self.figures.iter().map(figure).collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
impl Goal {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn worst_value(&self) -> Option<f64> {
        self.worst().map(|worst| worst.value)
    }
}
