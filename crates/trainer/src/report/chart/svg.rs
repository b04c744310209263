//! A chart as a figure of HTML, with the SVG in it.

use std::fmt::Write;

use serde_json::{Value, json};

use super::super::html::{escape, script_json};
use super::super::number;
use super::axis::{Axis, Scale};
use super::{Chart, Format, Look, Series};

/// Space around the lines: for the numbers at the left and below, and half a point at the other sides.
const LEFT: f64 = 62.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 40.0;
/// Two names of levels are not closer than this.
const LINE: f64 = 18.0;

impl Chart {
    /// A wide chart twice, of which a screen shows that which it has room for: small, a wide one would be flat.
    pub(in super::super) fn to_html_for_any_screen(&self) -> String {
        let narrow = Self { is_wide: false, ..self.clone() };
        let (wide, narrow) = (self.to_html(), narrow.to_html());
        format!("<div class=\"roomy\">{wide}</div><div class=\"narrow\">{narrow}</div>")
    }

    /// The figure; nothing where there is nothing to draw.
    pub(in super::super) fn to_html(&self) -> String {
        if self.is_empty() {
            return String::new();
        }
        let drawable: Vec<_> = self.drawable().collect();
        let (width, height) = if self.is_wide { (860.0, 380.0) } else { (520.0, 270.0) };
        let (x, y) = self.axes(&drawable, width, height);
        let class = if self.is_wide { "chart wide" } else { "chart" };
        let (title, about) = (escape(&self.title), escape(&self.about));
        let mut out = format!(
            "<figure class=\"{class}\"><figcaption><h3>{title}</h3><p>{about}</p></figcaption>{}\
             <div class=\"plot\"><svg viewBox=\"0 0 {width} {height}\" role=\"img\"><title>{title}</title>\
             <desc>{}</desc>",
            self.legend(),
            escape(&self.in_words(&drawable)),
        );
        self.grid(&mut out, &x, &y, width, height);
        for &mark in &self.marks {
            let place = x.place(mark.into());
            let (top, bottom) = (TOP, height - BOTTOM);
            out += &format!("<path class=\"mark\" d=\"M{place:.1} {top}V{bottom}\"/>");
        }
        for (series, points) in &drawable {
            draw(&mut out, series, points, &x, &y);
        }
        self.levels(&mut out, &y, width, height);
        let data = self.data(&drawable, &x, &y, width, height);
        let _ = write!(
            out,
            "</svg><script type=\"application/json\">{}</script></div></figure>",
            script_json(&data)
        );
        out
    }

    fn axes(
        &self,
        drawable: &[(&Series, Vec<(f64, f64)>)],
        width: f64,
        height: f64,
    ) -> (Axis, Axis) {
        let points = || drawable.iter().flat_map(|(_, points)| points);
        let last = points().map(|point| point.0).fold(1.0, f64::max);
        let levels =
            self.levels.iter().map(|level| level.value).filter(|&value| self.has_place(value));
        let values = || points().map(|point| point.1).chain(levels.clone());
        let (mut low, mut high) =
            (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
        match self.scale {
            Scale::Linear if self.from_zero => (low, high) = (low.min(0.0), high * 1.04),
            Scale::Linear => {
                let space = 0.04 * (high - low);
                (low, high) = (low - space, high + space);
            }
            Scale::Logarithmic => (low, high) = (low / 1.2, high * 1.08),
        }
        let x = Axis::new(Scale::Linear, 0.0, last, LEFT, width - RIGHT);
        (x, Axis::new(self.scale, low, high, height - BOTTOM, TOP))
    }

    fn grid(&self, out: &mut String, x: &Axis, y: &Axis, width: f64, height: f64) {
        let (right, bottom) = (width - RIGHT, height - BOTTOM);
        for tick in self.value_ticks(y) {
            let (place, label) = (y.place(tick), self.format.write(rounded(tick)));
            *out += &format!(
                "<path class=\"grid\" d=\"M{LEFT} {place:.1}H{right}\"/><text class=\"tick end\" x=\"{:.1}\" \
                 y=\"{place:.1}\" dy=\".35em\">{label}</text>",
                LEFT - 8.0
            );
        }
        let ticks = x.ticks(5);
        for (index, &tick) in ticks.iter().enumerate() {
            let place = x.place(tick);
            // The last would stick out.
            let class =
                if index + 1 == ticks.len() && place > right - 12.0 { "end" } else { "middle" };
            *out += &format!(
                "<path class=\"axis\" d=\"M{place:.1} {bottom}v4\"/><text class=\"tick {class}\" x=\"{place:.1}\" \
                 y=\"{:.1}\" dy=\".8em\">{}</text>",
                bottom + 9.0,
                number::count(rounded(tick)),
            );
        }
        *out += &format!("<path class=\"axis\" d=\"M{LEFT} {bottom}H{right}\"/>");
    }

    /// Round numbers on the axis of values; bytes are round in powers of 1024.
    fn value_ticks(&self, y: &Axis) -> Vec<f64> {
        let (low, high) = y.ends();
        if self.format != Format::Bytes || high < 1.0 {
            return y.ticks(5);
        }
        let unit = 1024_f64.powf(high.log(1024.0).floor());
        let ticks = Axis::new(self.scale, low / unit, high / unit, 0.0, 1.0).ticks(5);
        ticks.into_iter().map(|tick| tick * unit).collect()
    }

    /// Lines across, each with its name at the right end, above it or, below another one, under it.
    fn levels(&self, out: &mut String, y: &Axis, width: f64, height: f64) {
        let right = width - RIGHT;
        let is_drawn = |value| self.has_place(value);
        for level in self.levels.iter().filter(|level| is_drawn(level.value)) {
            let place = y.place(level.value);
            let is_close = |other: f64| {
                other != level.value && (0.0..LINE).contains(&(place - y.place(other)))
            };
            let is_under =
                self.levels.iter().any(|other| is_drawn(other.value) && is_close(other.value));
            let has_room = place + LINE < height - BOTTOM;
            let is_under = is_under || place < TOP + LINE || level.is_under && has_room;
            let base = if is_under { place + 15.0 } else { place - 6.0 };
            *out += &format!(
                "<path class=\"level c{}\" d=\"M{LEFT} {place:.1}H{right}\"/><text class=\"name end c{0}\" \
                 x=\"{right}\" y=\"{base:.1}\">{} {}</text>",
                level.colour,
                escape(&level.name),
                self.format.write(level.value),
            );
        }
    }

    /// Which colour is what, where there is more than one thing.
    fn legend(&self) -> String {
        let shown = || self.series.iter().filter(|series| !series.points.is_empty());
        if shown().count() + self.levels.len() < 2 {
            return String::new();
        }
        let mut out = "<ul class=\"legend\">".to_owned();
        for Series { name, colour, look, .. } in shown() {
            let look = match look {
                Look::Line => "line",
                Look::Faint => "line faint",
                Look::Points => "points",
            };
            out += &format!("<li><i class=\"{look} c{colour}\"></i>{}</li>", escape(name));
        }
        for level in &self.levels {
            let (colour, name) = (level.colour, escape(&level.name));
            out += &format!("<li><i class=\"dashed c{colour}\"></i>{name}</li>");
        }
        out + "</ul>"
    }

    /// What the chart shows, for those who cannot see it.
    fn in_words(&self, drawable: &[(&Series, Vec<(f64, f64)>)]) -> String {
        let mut words = self.about.clone();
        for (series, points) in drawable {
            if let (Some((first, from)), Some((last, to))) = (points.first(), points.last()) {
                let (from, to) = (self.format.write(*from), self.format.write(*to));
                let _ =
                    write!(words, " {}: {from} at step {first}, {to} at step {last}.", series.name);
            }
        }
        for level in &self.levels {
            let _ = write!(words, " {}: {}.", level.name, self.format.write(level.value));
        }
        words
    }

    /// What the script needs to tell the numbers under the pointer.
    fn data(
        &self,
        drawable: &[(&Series, Vec<(f64, f64)>)],
        x: &Axis,
        y: &Axis,
        width: f64,
        height: f64,
    ) -> Value {
        let told = drawable
            .iter()
            .filter(|(series, points)| series.look != Look::Faint && !points.is_empty());
        let series: Vec<Value> = told
            .map(|(series, points)| {
                let xs: Vec<f64> = points.iter().map(|point| point.0).collect();
                let ys: Vec<f64> = points.iter().map(|point| short(point.1)).collect();
                json!({"name": series.name, "colour": series.colour, "x": xs, "y": ys})
            })
            .collect();
        let ((x0, x1), (y0, y1)) = (x.ends(), y.ends());
        json!({
            "size": [width, height],
            "x": [LEFT, width - RIGHT, x0, x1],
            "y": [height - BOTTOM, TOP, y0, y1],
            "log": self.scale == Scale::Logarithmic,
            "format": self.format.name(),
            "series": series,
        })
    }
}

fn draw(out: &mut String, series: &Series, points: &[(f64, f64)], x: &Axis, y: &Axis) {
    let colour = series.colour;
    let places = points.iter().map(|&(step, value)| (x.place(step), y.place(value)));
    if points.len() > 1 {
        let mut path = String::new();
        for (index, (x, y)) in places.clone().enumerate() {
            let _ = write!(path, "{}{x:.1} {y:.1}", if index == 0 { 'M' } else { 'L' });
        }
        let faint = if series.look == Look::Faint { " faint" } else { "" };
        *out += &format!("<path class=\"line c{colour}{faint}\" d=\"{path}\"/>");
    }
    // Of many points each would hide its neighbours; a single one is no line.
    if points.len() == 1 || series.look == Look::Points && points.len() <= 60 {
        for (x, y) in places {
            *out += &format!("<circle class=\"c{colour}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.2\"/>");
        }
    }
}

/// A tick without the last digits that its computation left.
fn rounded(tick: f64) -> f64 {
    short(tick)
}

/// Six digits.
fn short(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    fn chart(scale: Scale, points: &[(u32, f64)]) -> Chart {
        let series = Series::new("loss <b>", 1, Look::Line, points.iter().copied());
        Chart { title: "Loss & more".into(), scale, series: vec![series], ..Chart::default() }
    }

    #[test]
    fn text_is_escaped_wherever_it_stands() {
        let mut chart = chart(Scale::Linear, &[(1, 2.0), (2, 3.0)]);
        chart.levels.push(Level {
            name: "</script>".into(),
            colour: 2,
            value: 1.0,
            is_under: false,
        });
        chart.about = "<i>".into();
        let html = chart.to_html();
        assert!(html.contains("Loss &amp; more") && html.contains("&lt;/script&gt;"), "{html}");
        assert!(!html.contains("<b>") && !html.contains("<i>"), "{html}");
        assert_eq!(html.matches("</script>").count(), 1);
    }

    #[test]
    fn what_has_no_place_on_the_axes_is_left_out() {
        let points = [(1, 10.0), (2, 0.0), (3, -1.0), (4, f64::NAN), (5, f64::INFINITY), (6, 1.0)];
        for scale in [Scale::Logarithmic, Scale::Linear] {
            let html = chart(scale, &points).to_html();
            assert!(!html.contains("NaN") && !html.contains("inf"), "{html}");
            assert!(html.contains("class=\"line c1\""), "{html}");
        }
        for points in [&[(1, -1e308), (2, 1e308)][..], &[(1, f64::MAX), (2, 1.0)], &[(1, f64::MAX)]]
        {
            for from_zero in [false, true] {
                let html = Chart { from_zero, ..chart(Scale::Linear, points) }.to_html();
                assert!(!html.contains("NaN") && !html.contains("inf"), "{html}");
            }
        }
        assert_eq!(chart(Scale::Logarithmic, &[(1, 0.0), (2, f64::NAN)]).to_html(), "");
        assert_eq!(chart(Scale::Linear, &[]).to_html(), "");
    }

    #[test]
    fn a_single_value_is_a_point() {
        let html = chart(Scale::Linear, &[(1, 5.0)]).to_html();
        assert!(html.contains("<circle") && !html.contains("NaN"), "{html}");
    }

    #[test]
    fn a_long_run_is_thinned() {
        let points: Vec<_> = (0..200_000).map(|step| (step, f64::from(step % 97))).collect();
        let html = chart(Scale::Linear, &points).to_html();
        assert!(html.len() < 60_000, "{}", html.len());
    }

    #[test]
    fn those_who_cannot_see_it_hear_its_ends() {
        let html = chart(Scale::Linear, &[(1, 5.5), (400, 1.25)]).to_html();
        assert!(html.contains("loss &lt;b&gt;: 5.5 at step 1, 1.25 at step 400."), "{html}");
    }
}
