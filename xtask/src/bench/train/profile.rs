//! Where the time of a step goes.

use super::plan::Task;
use crate::bench::Result;

/// Prints what each part of a step takes on one thread, as a table.
#[cfg(feature = "profile")]
pub(super) fn print(task: Task, steps: usize, unit: Option<usize>) -> Result {
    use ternary_core::profile::take;

    let mut trial = super::child::trial(task, unit)?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    let rounds = u32::try_from(steps)?;
    let stepped = pool.install(|| {
        (0..super::child::WARM_UP).try_for_each(|_| trial.step().map(drop))?;
        take();
        (0..steps).try_for_each(|_| trial.step().map(drop))
    });
    stepped?;
    let mut parts: Vec<_> = take().into_iter().collect();
    parts.sort_by_key(|&(_, total)| std::cmp::Reverse(total.time));
    let all = parts.iter().map(|(_, total)| total.time.as_secs_f64()).sum::<f64>();
    println!("| {} | ms | share | calls |\n|---|---|---|---|", task.size);
    for (name, total) in parts {
        let (time, calls) = (total.time / rounds, total.spans / u64::from(rounds));
        let share = 100.0 * total.time.as_secs_f64() / all;
        println!("| {name} | {:.1} | {share:.1}% | {calls} |", 1e3 * time.as_secs_f64());
    }
    println!("| all | {:.1} | | |", 1e3 * all / f64::from(rounds));
    Ok(())
}

/// Refuses: spans are nothing in this build.
#[cfg(not(feature = "profile"))]
pub(super) fn print(_: Task, _: usize, _: Option<usize>) -> Result {
    let how = "cargo run --release -p xtask --features profile -- bench train --profile";
    Err(format!("expected a build that times its parts, found another: call {how}").into())
}
