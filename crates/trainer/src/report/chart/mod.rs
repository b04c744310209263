//! A chart of lines over steps.

mod axis;
mod line;
mod svg;

pub(super) use axis::Scale;
pub(super) use line::smooth;

use super::number;

/// Lines over the steps of one run or several.
#[derive(Debug, Clone, Default)]
pub(super) struct Chart {
    pub(super) title: String,
    /// What it shows, in a sentence: below the title, and for those who cannot see it.
    pub(super) about: String,
    pub(super) scale: Scale,
    pub(super) format: Format,
    /// Whether it takes the whole width.
    pub(super) is_wide: bool,
    /// Whether the axis of a linear chart begins at 0.
    pub(super) from_zero: bool,
    pub(super) series: Vec<Series>,
    /// Values that are the same at every step.
    pub(super) levels: Vec<Level>,
    /// Steps at which something happened.
    pub(super) marks: Vec<u32>,
}

/// A line, or points.
#[derive(Debug, Clone)]
pub(super) struct Series {
    pub(super) name: String,
    /// Which of the colours it has.
    pub(super) colour: usize,
    pub(super) look: Look,
    /// Steps and values.
    pub(super) points: Vec<(f64, f64)>,
}

/// A value that is the same at every step.
#[derive(Debug, Clone)]
pub(super) struct Level {
    pub(super) name: String,
    pub(super) colour: usize,
    pub(super) value: f64,
    /// Whether its name stands below, because lines come down to it from above.
    pub(super) is_under: bool,
}

/// How a series is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    Line,
    /// A line in the background, of what is smoothed in front; the read-out leaves it out.
    Faint,
    /// A line with a point for each value.
    Points,
}

/// How values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Format {
    #[default]
    Plain,
    /// A share.
    Percent,
    /// With a letter for thousands.
    Count,
    Bytes,
}

impl Format {
    pub(super) fn write(self, value: f64) -> String {
        match self {
            Self::Plain => number::plain(value),
            Self::Percent => number::percent(value),
            Self::Count => number::count(value),
            Self::Bytes => number::bytes(value),
        }
    }

    /// The name by which the script knows it.
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Percent => "percent",
            Self::Count => "count",
            Self::Bytes => "bytes",
        }
    }
}

impl Series {
    pub(super) fn new(
        name: impl Into<String>,
        colour: usize,
        look: Look,
        points: impl IntoIterator<Item = (u32, f64)>,
    ) -> Self {
        let points = points.into_iter().map(|(step, value)| (f64::from(step), value));
        Self { name: name.into(), colour, look, points: points.collect() }
    }

    /// The same without its noise, as a line of its own.
    pub(super) fn smoothed(&self, name: impl Into<String>) -> Self {
        let span = (self.points.len() as f64 / 40.0).max(1.0);
        let points = smooth(&self.points, span);
        Self { name: name.into(), look: Look::Line, points, ..*self }
    }
}

impl Chart {
    /// Whether there is anything to draw.
    pub(super) fn is_empty(&self) -> bool {
        self.drawable().all(|(_, points)| points.is_empty())
    }

    /// Each series with the points that have a place on the axes, thinned.
    fn drawable(&self) -> impl Iterator<Item = (&Series, Vec<(f64, f64)>)> {
        self.series.iter().map(|series| {
            let points: Vec<_> =
                series.points.iter().copied().filter(|&(_, value)| self.has_place(value)).collect();
            (series, line::thin(&points, line::POINTS))
        })
    }

    fn has_place(&self, value: f64) -> bool {
        value.is_finite() && (self.scale == Scale::Linear || value > 0.0)
    }
}
