//! Soak: the real program under a mixed load (users, streams, callers who leave, upstream faults,
//! reloads), and what becomes of its memory.
//!
//! `SOAK_SECONDS` says how long; by default a few seconds, which show that it runs and that nothing
//! grows fast. `make soak TIME=…` runs the release build and prints the memory over time.

use std::time::Duration;

use behest_gateway::clock::monotonic;

use crate::support::crowd::{Crowd, MintedBy};
use crate::support::program::{Program, environment};

/// A reload comes this often.
const RELOAD_EVERY: Duration = Duration::from_secs(5);

/// Growth beyond this is a leak, however short the run: bytes.
const MOST_GROWTH: f64 = 64.0 * 1024.0 * 1024.0;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_stays_level_under_load() {
    let seconds: u64 = std::env::var("SOAK_SECONDS").map_or(6, |text| text.parse().unwrap());
    let crowd = Crowd::new(seconds * 30_000);
    let upstream = crowd.upstream(MintedBy::Call).await;
    let env = environment(
        &format!("http://{upstream}"),
        &[("RUST_LOG", "info,access=off")],
    );
    let program = Program::serve(&env).await;
    let visit = {
        let (crowd, address) = (std::sync::Arc::clone(&crowd), program.address);
        tokio::spawn(async move { crowd.visit(address).await })
    };
    let samples = watch(&program, Duration::from_secs(seconds)).await;
    crowd.stop();
    let report = visit.await.unwrap();
    let line = fit(&samples);
    let hourly = |slope: f64| slope * 3600.0 / 1e6;
    eprintln!(
        "{report}\nafter the first third: {:.2} ± {:.2} MB/h, {:.2} MB in all",
        hourly(line.slope),
        hourly(line.error),
        line.growth / 1e6
    );
    assert_eq!(report.wrongs, 0, "{report}");
    assert!(report.answered() > seconds * 100, "{report}");
    assert!(line.growth < MOST_GROWTH, "{samples:?}");
}

/// The program's resident memory over `time`: seconds and bytes. Reloads it now and then.
async fn watch(program: &Program, time: Duration) -> Vec<(f64, f64)> {
    let begun = monotonic();
    let mut samples = Vec::new();
    let mut reloaded = Duration::ZERO;
    let every = (time / 60).max(Duration::from_millis(200));
    loop {
        tokio::time::sleep(every).await;
        let passed = monotonic().duration_since(begun);
        let bytes = resident(program);
        eprintln!("{:7.1} s  {:8.2} MB", passed.as_secs_f64(), bytes / 1e6);
        samples.push((passed.as_secs_f64(), bytes));
        if passed >= time {
            return samples;
        }
        if passed >= reloaded + RELOAD_EVERY {
            reloaded = passed;
            program.signal("HUP");
        }
    }
}

/// Bytes of resident memory.
fn resident(program: &Program) -> f64 {
    let status = program.proc("status");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib: f64 = line
        .and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
        .unwrap();
    kib * 1024.0
}

/// A line through the samples after the first third, in which caches and pools fill.
struct Line {
    /// Bytes a second.
    slope: f64,
    /// Its standard error: whatever is within some of these of nothing is noise.
    error: f64,
    /// Bytes over the samples' whole time.
    growth: f64,
}

/// By least squares.
fn fit(samples: &[(f64, f64)]) -> Line {
    let kept = &samples[samples.len() / 3..];
    let count = f64::from(u32::try_from(kept.len()).unwrap());
    let mean = |of: fn(&(f64, f64)) -> f64| kept.iter().map(of).sum::<f64>() / count;
    let (time, bytes) = (mean(|sample| sample.0), mean(|sample| sample.1));
    let sum = |of: &dyn Fn(f64, f64) -> f64| -> f64 {
        kept.iter().map(|(t, b)| of(t - time, b - bytes)).sum()
    };
    let spread = sum(&|t, _| t * t);
    let slope = sum(&|t, b| t * b) / spread;
    let missed = sum(&|t, b| (b - slope * t).powi(2));
    Line {
        slope,
        error: (missed / (count - 2.0) / spread).sqrt(),
        growth: slope * (kept[kept.len() - 1].0 - kept[0].0),
    }
}

#[test]
fn the_fit_of_a_line_is_its_slope() {
    let line: Vec<_> = (0..30)
        .map(|at| (f64::from(at), 5.0 + 2.0 * f64::from(at)))
        .collect();
    let Line {
        slope,
        error,
        growth,
    } = fit(&line);
    assert!((slope - 2.0).abs() < 1e-9 && error < 1e-9 && (growth - 38.0).abs() < 1e-6);
}
