//! A load as it goes: lines of JSON for curves, the list of what was committed, and a word for who
//! watches.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget};
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};

use super::{LoadArgs, drive::Load, tally::quantiles};
use crate::{args::Context, devnet_file::DevnetNode, files, output::Failure};

/// Where the lines go.
#[derive(Debug)]
pub(super) struct Curve {
    every: Duration,
    lines: Option<Lines>,
    committed: Option<Lines>,
    /// Nodes of this machine, whose memory is shown.
    nodes: Vec<DevnetNode>,
    /// When the last line was written, since the load began.
    last: Duration,
    bar: ProgressBar,
}

/// A file of lines.
#[derive(Debug)]
struct Lines {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Lines {
    /// Never over a file that is there: it may be somebody's only key.
    fn create(path: &Path) -> Result<Self, Failure> {
        if fs::metadata(path).is_ok_and(|there| there.is_file() && there.len() > 0) {
            return Err(Failure::usage(
                "would_overwrite",
                format!("{} is there already: nothing was done", path.display()),
                "name another file, or remove it",
            ));
        }
        let file = File::create(path).map_err(|e| files::unwritable(path, &e))?;
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file) })
    }

    fn write(
        &mut self,
        write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
    ) -> Result<(), Failure> {
        let written = write(&mut self.file).and_then(|()| self.file.flush());
        written.map_err(|e| files::unwritable(&self.path, &e))
    }
}

impl Curve {
    /// Opens the files that are asked for.
    ///
    /// # Errors
    ///
    /// When one cannot be written, or the development network cannot be read.
    pub(super) fn open(args: &LoadArgs, context: &Context) -> Result<Self, Failure> {
        let is_watched = !context.global.json && context.output.is_interactive();
        let bar = ProgressBar::new_spinner();
        bar.set_draw_target(match is_watched {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        });
        Ok(Self {
            every: args.every,
            lines: args.curve.as_deref().map(Lines::create).transpose()?,
            committed: args.committed.as_deref().map(Lines::create).transpose()?,
            nodes: context.network()?.map(|network| network.nodes).unwrap_or_default(),
            last: Duration::ZERO,
            bar,
        })
    }

    /// Writes a line every so often, for ever; why it cannot go on.
    pub(super) async fn draw(&mut self, load: &Load) -> Failure {
        let mut ticks = interval(self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first comes at once.
        ticks.tick().await;
        loop {
            ticks.tick().await;
            if let Err(failure) = self.line(load) {
                return failure;
            }
        }
    }

    /// Writes what was counted since the last line.
    ///
    /// # Errors
    ///
    /// When a file cannot be written.
    pub(super) fn line(&mut self, load: &Load) -> Result<(), Failure> {
        let recent = load.totals().borrow_mut().take_recent();
        let now = load.elapsed();
        let seconds = now.saturating_sub(self.last).as_secs_f64();
        self.last = now;
        let rate = if seconds > 0.0 { recent.counts.committed as f64 / seconds } else { 0.0 };
        self.bar.set_message(format!(
            "{:.0} s: {rate:.0} transactions committed a second, {} wait, {} dropped",
            now.as_secs_f64(),
            load.in_flight(),
            recent.counts.dropped,
        ));
        self.bar.tick();
        if let Some(committed) = &mut self.committed {
            committed.write(|file| {
                recent.committed.iter().try_for_each(|(id, height)| writeln!(file, "{id} {height}"))
            })?;
        }
        let Some(lines) = &mut self.lines else { return Ok(()) };
        let mut line = recent.counts.json();
        let more = json!({
            "at_s": now.as_secs_f64(), "refused": recent.counts.refused, "per_second": rate,
            "in_flight": load.in_flight(), "latency_ms": quantiles(&recent.latencies),
            "nodes": self.nodes.iter().map(memory).collect::<Vec<_>>(),
        });
        if let (Value::Object(line), Value::Object(more)) = (&mut line, more) {
            line.extend(more);
        }
        lines.write(|file| writeln!(file, "{line}"))
    }

    /// Takes the word for who watches away.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// What a node's process holds of the memory, as Linux says it; null when it is gone.
fn memory(node: &DevnetNode) -> Value {
    let status = fs::read_to_string(format!("/proc/{}/status", node.pid)).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    json!({"province": node.province, "resident_kib": kib})
}
