//! `symbolon import`: a file of licences onto the ledger, each row once, whatever happens.
//!
//! First every row is checked; then what an earlier run left behind is taken up; then the rows
//! that are not issued yet go out, 256 to a transaction, several transactions at a time. Reading
//! files is [`source`], judging rows [`rows`], the way onto the ledger [`crate::issuing`].

mod faults_file;
mod rows;
mod rows_file;
mod source;

pub(super) use self::rows::tag;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use clap::Args;
use encoding_rs::Encoding;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use serde_json::{Value, json};
use symbolon_ledger::{
    codes::TypeCode, hash::Digest, operation::Operation, transaction::MAX_OPERATIONS,
};

use self::{
    rows::{Checked, Fault, GoodRow},
    source::{Declared, Format, Source},
};
use super::{
    issue::{HolderArgs, no_holder_note, parse_type},
    licence::read_credential,
};
use crate::{
    args::Context,
    client::Node,
    files,
    issuer::{Continues, Holder, Issuer},
    issuing::{self, Item, Report},
    journal::{Entry, Journal},
    output::{Answer, Failure, Outcome, Status},
    signing,
};

/// Transactions in flight: enough to fill a block while credentials of the next are signed.
const IN_FLIGHT: usize = 8;
/// Faults shown to a person; all of them are in the errors file.
const SHOWN_FAULTS: usize = 10;

/// Issue every licence of a file (CSV or JSON Lines)
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The file: CSV (UTF-8 or GB18030) with a header, or JSON Lines
    file: PathBuf,
    /// The licence type, such as local:driving-licence
    #[arg(long = "type", value_name = "CODE", value_parser = parse_type)]
    licence_type: TypeCode,
    /// Where credentials are written, and the journal is kept
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Where the list of bad rows is written [default: FILE.errors.csv]
    #[arg(long, value_name = "FILE")]
    errors: Option<PathBuf>,
    /// The file's encoding, when it is not recognised: utf-8, gb18030
    #[arg(long, value_name = "NAME", value_parser = parse_encoding)]
    encoding: Option<&'static Encoding>,
    /// The file's form, when its name does not tell
    #[arg(long)]
    format: Option<Format>,
    /// Make a key for each holder, written beside the credential (always done with --devnet)
    #[arg(long)]
    new_holder_key: bool,
    /// The agency's credential key [default: beside the transaction key]
    #[arg(long, value_name = "FILE")]
    credential_key: Option<PathBuf>,
    /// Only check the rows and list the refused ones; issue nothing
    #[arg(long)]
    dry_run: bool,
}

fn parse_encoding(name: &str) -> Result<&'static Encoding, String> {
    Encoding::for_label(name.as_bytes()).ok_or_else(|| "give utf-8 or gb18030".to_owned())
}

/// What an import came to.
#[derive(Debug, Default)]
struct Totals {
    rows: usize,
    issued: usize,
    skipped: usize,
    /// Skipped rows that say something else than the credentials that were issued for them.
    changed: Vec<usize>,
    /// Skipped rows whose credentials cannot be read any more.
    missing: Vec<usize>,
    rejected: usize,
    transactions: usize,
    errors_file: Option<PathBuf>,
}

impl Totals {
    fn json(&self) -> Value {
        json!({
            "rows": self.rows,
            "issued": self.issued,
            "skipped": self.skipped,
            "changed": self.changed.len(),
            "missing": self.missing.len(),
            "rejected": self.rejected,
            "transactions": self.transactions,
            "errors_file": self.errors_file,
        })
    }
}

/// Runs the command.
pub(super) fn run(args: &ImportArgs, context: &Context) -> Outcome {
    let declared = Declared { format: args.format, encoding: args.encoding };
    let source = Source::read(&args.file, declared)?;
    let node = Node::of(context)?;
    signing::tip(&node)?;
    let node = node.patient();
    let key = args.credential_key.as_deref();
    let issuer = Issuer::open(context, &node, &args.licence_type, key, &args.out)?;
    rows::check_header(&source, &issuer.licence_type)
        .map_err(|failure| source::of_file(&args.file, failure))?;
    let mut checked = rows::check(&source, &issuer.licence_type, &issuer.secret);
    if checked.total == 0 {
        return Err(source::of_file(&args.file, source::empty()));
    }
    let errors = args.errors.clone().unwrap_or_else(|| files::suffixed(&args.file, ".errors.csv"));
    faults_file::write(&errors, &args.file, &checked.faults)?;
    let mut totals =
        Totals { rows: checked.total, rejected: checked.rejected(), ..Totals::default() };
    if args.dry_run {
        return Ok(answer(args, totals, &checked.faults, &errors));
    }
    let holder = HolderArgs { holder_key: None, new_holder_key: args.new_holder_key };
    let job = Job {
        holder: holder.holder(context)?,
        journal: Journal::open(&args.out, &issuer, false)?,
        issuer: &issuer,
        source: &source,
    };
    if matches!(job.holder, Holder::None) {
        context.output.note(no_holder_note());
    }
    let outcome = job.issue_all(context, &mut checked, &mut totals);
    note_skipped(&totals, args, context);
    let issued = |row: &GoodRow| Some((row.place.row, job.journal.issued(&row.tag)?));
    rows_file::write(&job.journal, checked.good.iter().filter_map(issued))?;
    faults_file::write(&errors, &args.file, &checked.faults)?;
    totals.errors_file = (!checked.faults.is_empty()).then(|| errors.clone());
    match outcome {
        Ok(()) => Ok(answer(args, totals, &checked.faults, &errors)),
        Err(failure) => {
            let failure = issuing::resumable(failure);
            let error =
                json!({"code": failure.code, "message": failure.message, "hint": failure.hint});
            let mut line = totals.json();
            line["error"] = error;
            Err(failure.with_json(line))
        }
    }
}

/// One import under way.
struct Job<'a> {
    issuer: &'a Issuer<'a>,
    journal: Journal,
    source: &'a Source,
    holder: Holder,
}

impl Job<'_> {
    fn issue_all(
        &self,
        context: &Context,
        checked: &mut Checked,
        totals: &mut Totals,
    ) -> Result<(), Failure> {
        let resumed = issuing::resume(self.issuer, &self.journal)?;
        totals.transactions += resumed.iter().map(|r| r.transactions.len()).sum::<usize>();
        let resumed: BTreeSet<Digest> =
            resumed.iter().flat_map(|r| &r.issued).map(|entry| entry.tag).collect();
        let is_new = |row: &&GoodRow| self.journal.issued(&row.tag).is_none();
        let new: Vec<GoodRow> = checked.good.iter().filter(is_new).cloned().collect();
        let before = checked.good.iter().filter(|row| resumed.contains(&row.tag)).count();
        totals.issued += before;
        totals.skipped = checked.good.len() - new.len() - before;
        self.compare(
            checked.good.iter().filter(|r| !is_new(r) && !resumed.contains(&r.tag)),
            totals,
        );
        let bar = progress(context, new.len());
        let (report, outcome) = self.issue_new(&new, &bar);
        bar.finish_and_clear();
        totals.issued += report.issued.len();
        totals.rejected += report.refused.len();
        totals.transactions += report.transactions.len();
        checked.faults.extend(report.refused.into_iter().map(|refused| Fault {
            row: refused.row,
            column: String::new(),
            code: refused.problem.code,
            hint: refused.problem.hint,
        }));
        checked.faults.sort();
        outcome
    }

    /// Finds the rows issued before that say something else now, and those whose credential is gone.
    fn compare<'r>(&self, rows: impl Iterator<Item = &'r GoodRow>, totals: &mut Totals) {
        for row in rows {
            let Some(cid) = self.journal.issued(&row.tag) else { continue };
            let Ok(credential) = read_credential(&self.journal.credential_path(&cid)) else {
                totals.missing.push(row.place.row);
                continue;
            };
            let claims = rows::read(self.source, &self.issuer.licence_type, &row.place);
            if claims.is_ok_and(|claims| self.issuer.says(&credential, &claims) == Some(false)) {
                totals.changed.push(row.place.row);
            }
        }
    }

    /// Issues rows that the journal does not know, several batches at a time. The first failure
    /// stops what has not begun; what has begun is seen through.
    fn issue_new(&self, new: &[GoodRow], bar: &ProgressBar) -> (Report, Result<(), Failure>) {
        let batches: Vec<&[GoodRow]> = new.chunks(MAX_OPERATIONS).collect();
        let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let done = Mutex::new((Report::default(), Ok(())));
        let work = || {
            while !stop.load(Ordering::Relaxed) {
                let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) else { return };
                let outcome = self.issue_batch(batch);
                let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                match outcome {
                    Ok(report) => {
                        bar.inc(batch.len() as u64);
                        done.0.issued.extend(report.issued);
                        done.0.refused.extend(report.refused);
                        done.0.transactions.extend(report.transactions);
                    }
                    Err(failure) => {
                        stop.store(true, Ordering::Relaxed);
                        done.1 = Err(failure);
                    }
                }
            }
        };
        thread::scope(|scope| {
            for _ in 0..IN_FLIGHT.min(batches.len()) {
                scope.spawn(work);
            }
        });
        done.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn issue_batch(&self, batch: &[GoodRow]) -> Result<Report, Failure> {
        let slots = self.issuer.take_slots(batch.len())?;
        let items = batch.iter().zip(slots).map(|(row, slot)| self.item(row, slot));
        let items = items.collect::<Result<Vec<Item>, Failure>>()?;
        let exchange = |item: &Item| {
            item.leave_block(self.issuer)?;
            let Some(row) = batch.iter().find(|row| row.place.row == item.row) else {
                return Ok(None);
            };
            let slot = self.issuer.take_slots(1)?.into_iter().next();
            slot.map(|slot| self.item(row, slot)).transpose()
        };
        issuing::issue(self.issuer, &self.journal, items, &exchange)
    }

    fn item(&self, row: &GoodRow, slot: u32) -> Result<Item, Failure> {
        let number = row.place.row;
        let claims = rows::read(self.source, &self.issuer.licence_type, &row.place);
        let claims = claims.map_err(|_| {
            Failure::refused(
                "file_changed",
                format!("row {number} is no longer what it was"),
                "run the import again",
            )
        })?;
        let draft = self.issuer.draft(&claims, self.holder, &Continues::Nothing, slot)?;
        let operation = Operation::Issue { licence: draft.licence.clone() };
        Ok(Item { row: number, entry: Entry::of(draft, row.tag), operation })
    }
}

fn progress(context: &Context, rows: usize) -> ProgressBar {
    if context.global.json || !context.output.is_interactive() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(rows as u64), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} licences, {rate}, {eta} left");
    let rate = |state: &ProgressState, to: &mut dyn std::fmt::Write| {
        // A bar that cannot be drawn is not worth an error.
        let _ = write!(to, "{:.0} a second", state.per_sec());
    };
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style.with_key("rate", rate));
    bar
}

/// Says what became of rows that are not issued again though something is to be done about them.
fn note_skipped(totals: &Totals, args: &ImportArgs, context: &Context) {
    let out = args.out.display();
    let note = |rows: &[usize], what: &str, hint: String| {
        let few: Vec<String> = rows.iter().take(SHOWN_FAULTS).map(ToString::to_string).collect();
        let more = if rows.len() > few.len() { " and more" } else { "" };
        let (count, few) = (rows.len(), few.join(", "));
        if count > 0 {
            context.output.note(format!("note: {what}: {count} (row {few}{more}); {hint}"));
        }
    };
    note(
        &totals.changed,
        "rows that differ from what was issued for them, and are not issued again",
        format!("replace each licence by `symbolon supersede`; {out}/.import/rows.csv has its cid"),
    );
    note(
        &totals.missing,
        "rows that were issued, and whose credentials cannot be read any more",
        format!("bring {out} back from its backup; {out}/.import/rows.csv has their cids"),
    );
}

fn answer(args: &ImportArgs, mut totals: Totals, faults: &[Fault], errors: &Path) -> Answer {
    totals.errors_file = (!faults.is_empty()).then(|| errors.to_path_buf());
    let what = if args.dry_run { "checked" } else { "read" };
    let mut lines = vec![format!("{} rows {what} from {}", totals.rows, args.file.display())];
    if !args.dry_run {
        let (issued, skipped) = (totals.issued, totals.skipped);
        lines.push(format!(
            "{issued} issued in {} transaction{}, {skipped} issued before, {} refused",
            totals.transactions,
            if totals.transactions == 1 { "" } else { "s" },
            totals.rejected
        ));
        lines.push(format!("credentials in {}", args.out.display()));
    }
    for fault in faults.iter().take(SHOWN_FAULTS) {
        let column = if fault.column.is_empty() { "" } else { " " };
        lines.push(format!(
            "  row {}{column}{}: {}: {}",
            fault.row, fault.column, fault.code, fault.hint
        ));
    }
    if faults.len() > SHOWN_FAULTS {
        lines.push(format!("  and {} more", faults.len() - SHOWN_FAULTS));
    }
    if !faults.is_empty() {
        lines.push(format!(
            "{} refused rows are listed in {}: mend them and import the file again",
            totals.rejected,
            errors.display()
        ));
    }
    let answer = Answer::new(lines.join("\n"), totals.json());
    if faults.is_empty() { answer } else { answer.with_status(Status::Refused) }
}
