//! What a bench says: rows, as a table and as JSON.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::rounds::{BoundBy, Measured, Work};
use super::{Result, peer};

/// What a row is about: the part of it that is chosen, not measured.
pub(crate) trait Spec {
    /// The head of [`Spec::columns`].
    fn head() -> String;

    /// It as columns of a table.
    fn columns(&self) -> String;

    /// Where a goal's figure was measured, in short.
    fn at(&self) -> String;

    /// It as JSON.
    fn to_json(&self) -> Map<String, Value>;
}

/// One measured row.
#[derive(Debug, Clone)]
pub(crate) struct Row<S> {
    pub(crate) spec: S,
    pub(crate) isa: String,
    pub(crate) work: Work,
    pub(crate) measured: Measured,
}

impl<S: Spec> Row<S> {
    /// The share of the roofline; none where a product's own limit is not known.
    pub(crate) fn share(&self) -> Option<f64> {
        let known = self.work.macs == 0 || self.measured.share_compute.is_some();
        self.measured.share.filter(|_| known)
    }

    /// Billions of multiply-accumulates a second; none for a kernel without products.
    pub(crate) fn gmacs(&self) -> Option<f64> {
        (self.work.macs > 0).then(|| self.work.macs as f64 / self.measured.seconds / 1e9)
    }

    /// Gigabytes a second of what must be moved; none where that bounds nothing.
    pub(crate) fn gbs(&self) -> Option<f64> {
        (self.work.bytes > 0).then(|| self.work.bytes as f64 / self.measured.seconds / 1e9)
    }

    /// Whether the figures may be believed.
    pub(crate) fn is_trusted(&self) -> bool {
        self.measured.steady && !self.measured.fault
    }

    /// The row as JSON, units in the names.
    pub(crate) fn to_json(&self) -> Value {
        let measured = &self.measured;
        let figures = json!({
            "isa": self.isa,
            "us": measured.seconds * 1e6,
            "gmacs": self.gmacs(),
            "gbs": self.gbs(),
            "share": self.share(),
            "steady": measured.steady,
            "bound": measured.bound.map(bound_name),
            "share_memory": measured.share_memory,
            "share_compute": measured.share_compute,
            "roof_gbs": measured.roof_bytes_per_second.map(|rate| rate / 1e9),
            "roof_gmacs": measured.roof_macs_per_second.map(|rate| rate / 1e9),
            "rounds": measured.rounds,
            "rounds_kept": measured.kept,
            "fault": measured.fault,
        });
        let mut row = self.spec.to_json();
        row.extend(figures.as_object().cloned().unwrap_or_default());
        Value::Object(row)
    }
}

fn bound_name(bound: BoundBy) -> &'static str {
    match bound {
        BoundBy::Memory => "memory",
        BoundBy::Compute => "compute",
    }
}

/// A whole report.
#[derive(Debug)]
pub(crate) struct Report<S> {
    /// By number of threads, then by the key of the limit.
    pub(crate) roofs: Map<String, Value>,
    pub(crate) rows: Vec<Row<S>>,
    pub(crate) goals: Vec<Value>,
    pub(crate) peers: Vec<Value>,
    /// Rows that the time did not suffice for.
    pub(crate) left_out: usize,
}

impl<S: Spec> Report<S> {
    pub(crate) fn new() -> Self {
        let (roofs, rows, goals, peers) = (Map::new(), Vec::new(), Vec::new(), Vec::new());
        Self { roofs, rows, goals, peers, left_out: 0 }
    }

    /// Runs each peer once and takes down what it prints.
    pub(crate) fn run_peers(&mut self, commands: &[String], turn: usize) -> Result {
        for command in commands {
            for figures in peer::run(command, turn)? {
                println!("{figures}");
                self.peers.push(figures);
            }
        }
        Ok(())
    }

    /// The report as JSON.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "roofs": self.roofs,
            "rows": self.rows.iter().map(Row::to_json).collect::<Vec<_>>(),
            "goals": self.goals,
            "peers": self.peers,
            "left_out": self.left_out,
        })
    }

    /// The rows as a table.
    pub(crate) fn table(&self) -> String {
        let mut table = format!(
            "{} {:>11} {:>8} {:>8} {:>7} {:<8} steady\n",
            S::head(),
            "us",
            "GB/s",
            "GMAC/s",
            "share",
            "bound"
        );
        for row in &self.rows {
            let measured = &row.measured;
            let gbs = row.gbs().map_or_else(|| "-".into(), |gbs| format!("{gbs:.2}"));
            let gmacs = row.gmacs().map_or_else(|| "-".into(), |gmacs| format!("{gmacs:.1}"));
            let steady = match (measured.fault, measured.steady) {
                (true, _) => "FAULT: more than the roof",
                (_, true) => "yes",
                (_, false) => "NO",
            };
            // Writing to a string cannot fail.
            let _ = writeln!(
                table,
                "{} {:>11.1} {gbs:>8} {gmacs:>8} {:>7} {:<8} {steady}",
                row.spec.columns(),
                measured.seconds * 1e6,
                percent(row.share()),
                measured.bound.map_or("-", bound_name),
            );
        }
        table
    }
}

/// A share as text.
pub(crate) fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".into(), |share| format!("{:.1}%", 100.0 * share))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::bench::kernels::plan::{Kernel, Scale, Source, Spec};
    use crate::bench::shape::Shape;

    /// A steady measurement that reaches `share` of a compute roof.
    pub(crate) fn measured(seconds: f64, share: f64) -> Measured {
        Measured {
            seconds,
            share: Some(share),
            share_memory: None,
            share_compute: Some(share),
            bound: Some(BoundBy::Compute),
            roof_bytes_per_second: None,
            roof_macs_per_second: Some(2e11),
            rounds: 7,
            kept: 7,
            steady: true,
            fault: false,
        }
    }

    /// A steady row that reaches `share` of a compute roof.
    pub(crate) fn row(
        kernel: Kernel,
        m: usize,
        threads: usize,
        source: Source,
        share: f64,
    ) -> Row<Spec> {
        let shape = Shape { k: 4096, n: 4096 };
        let measured = measured(1e-3 / share, share);
        let spec = Spec { kernel, shape, m, threads, source, scale: Scale::Tensor };
        let macs = (m * shape.weights()) as u64;
        let work = Work { macs, bytes: shape.weights() as u64 / 4 };
        Row { spec, isa: "avx512vnni".into(), work, measured }
    }

    #[test]
    fn a_row_has_the_keys_that_readers_expect_with_units_applied() {
        let json = row(Kernel::Gemm, 32, 2, Source::Cache, 0.5).to_json();
        assert_eq!(json["kernel"], "gemm");
        assert_eq!(json["isa"], "avx512vnni");
        assert_eq!([&json["k"], &json["n"], &json["m"], &json["threads"]], [4096, 4096, 32, 2]);
        assert_eq!((&json["weights"], &json["scale"]), (&"cache".into(), &"tensor".into()));
        assert_eq!((&json["us"], &json["share"]), (&2000.0.into(), &0.5.into()));
        let gmacs = 32.0 * 4096.0 * 4096.0 / 2e-3 / 1e9;
        assert!((json["gmacs"].as_f64().unwrap() - gmacs).abs() < 1e-9 * gmacs);
        assert!((json["gbs"].as_f64().unwrap() - gmacs / 128.0).abs() < 1e-9 * gmacs);
        assert_eq!((&json["steady"], &json["fault"]), (&true.into(), &false.into()));
        assert_eq!((&json["bound"], &json["share_memory"]), (&"compute".into(), &Value::Null));
    }

    #[test]
    fn a_product_without_a_compute_roof_has_no_share() {
        let mut row = row(Kernel::Gemv2, 1, 1, Source::Dram, 0.5);
        row.measured.share_memory = Some(0.5);
        row.measured.share_compute = None;
        assert_eq!(
            (&row.to_json()["share"], &row.to_json()["share_memory"]),
            (&Value::Null, &0.5.into())
        );
        row.work.macs = 0;
        assert_eq!((row.share(), row.gmacs()), (Some(0.5), None));
    }

    #[test]
    fn a_report_is_one_object_and_its_table_a_line_for_each_row() {
        let mut report = Report::new();
        report.rows.push(row(Kernel::Gemm, 8, 1, Source::Dram, 0.7));
        let json = report.to_json();
        assert!(json["roofs"].is_object() && json["peers"].is_array() && json["goals"].is_array());
        assert_eq!(json["rows"].as_array().unwrap().len(), 1);
        report.rows.push(row(Kernel::Gemm, 8, 1, Source::Dram, 1.2));
        report.rows[1].measured.fault = true;
        let table = report.table();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(
            lines[1].contains("4096x4096")
                && lines[1].contains("70.0%")
                && lines[1].ends_with("yes")
        );
        assert!(lines[2].contains("FAULT"));
    }
}
