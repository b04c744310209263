//! What someone who waits sees: a bar on a terminal, lines in a file. All of it on standard error.

use std::fmt;
use std::io::{IsTerminal, Write, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::visible::Visible;

/// How far a run is.
#[derive(Debug)]
pub struct Progress {
    steps: u32,
    every: u32,
    bar: Option<ProgressBar>,
}

/// What is told of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepNews {
    /// Updates so far, this one included.
    pub step: u32,
    /// Mean loss of its batch, in nats per byte.
    pub loss: f64,
    /// Its learning rate.
    pub learning_rate: f64,
    /// Norm of its gradients.
    pub gradient_norm: f64,
    /// Bytes predicted in a second, on average so far.
    pub tokens_per_second: f64,
}

impl fmt::Display for StepNews {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { loss, learning_rate, gradient_norm, tokens_per_second, .. } = self;
        write!(f, "loss {loss:.4}  lr {learning_rate:.2e}  norm {gradient_norm:.3}  ")?;
        write!(f, "{tokens_per_second:.0} tokens/s")
    }
}

impl Progress {
    /// Of a run of `steps` steps: a bar where standard error is a terminal, otherwise a line every
    /// `every` steps.
    pub fn new(steps: u32, every: u32) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let target = ProgressDrawTarget::stderr_with_hz(8);
            let bar = ProgressBar::with_draw_target(Some(steps.into()), target);
            let template = "{pos}/{len} [{wide_bar}] {msg}  {eta} left";
            // A template that does not parse would be a bar of another look, not a failed run.
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.progress_chars("━╸ "));
            }
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
        Self { steps, every, bar }
    }

    /// Tells of a step.
    pub fn step(&self, news: &StepNews) {
        match &self.bar {
            Some(bar) => {
                bar.set_position(news.step.into());
                let StepNews { loss, tokens_per_second, .. } = news;
                bar.set_message(format!("loss {loss:.4}  {tokens_per_second:.0} tokens/s"));
            }
            None if news.step.is_multiple_of(self.every) || news.step == self.steps => {
                let width = self.steps.to_string().len();
                self.line(format_args!("step {:>width$}/{}  {news}", news.step, self.steps));
            }
            None => {}
        }
    }

    /// Tells a line, above the bar if there is one.
    pub fn line(&self, line: fmt::Arguments<'_>) {
        match &self.bar {
            Some(bar) => bar.println(Visible(line).to_string()),
            // Nobody reads any more; the run goes on.
            None => drop(writeln!(stderr(), "{}", Visible(line))),
        }
    }

    /// Tells of so many of the steps as `what`, where there is nothing else to tell of them.
    pub fn done(&self, what: &str, step: u32) {
        match &self.bar {
            Some(bar) => bar.set_position(step.into()),
            None if step.is_multiple_of(self.every) => {
                self.line(format_args!("{what} {step}/{}", self.steps));
            }
            None => {}
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_loss_rate_norm_and_speed() {
        let news = StepNews {
            step: 20,
            loss: 2.345_67,
            learning_rate: 3e-3,
            gradient_norm: 0.5,
            tokens_per_second: 9999.9,
        };
        assert_eq!(news.to_string(), "loss 2.3457  lr 3.00e-3  norm 0.500  10000 tokens/s");
    }
}
