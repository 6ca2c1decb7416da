//! How a command ends: data on standard output, everything else on standard error, and a status.
//!
//! With `--json` exactly one line stands on standard output whatever the status. Commands return
//! an [`Outcome`] and do not print; the one that shows its answer while it still runs
//! (`devnet up`) calls [`Output::show`] itself, and a second answer is then left out. An answer that
//! cannot be written (a full disk) is said on standard error, and the status is then 1.
//!
//! Text from elsewhere (a node's, a file's, a link's) reaches a terminal only with every character
//! that would give it orders written out; that is done here, for whatever a command says.

use std::{
    cell::Cell,
    fmt::Write as _,
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
};

use serde_json::{Value, json};
use symbolon_verify::{display::escaped, verdict::Outcome as Judged};

/// The exit status of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// Done; for a verification, valid.
    Done = 0,
    /// Refused by the ledger, or found wrong; for a verification, invalid.
    Refused = 1,
    /// The command line or a file named on it is wrong.
    Usage = 2,
    /// A node could not be reached.
    Unreachable = 3,
    /// The ledger proves that it has no such licence.
    Unknown = 4,
    /// It could not be decided now.
    Undetermined = 5,
}

impl From<Judged> for Status {
    fn from(outcome: Judged) -> Self {
        match outcome {
            Judged::Valid => Self::Done,
            Judged::Invalid => Self::Refused,
            Judged::Unknown => Self::Unknown,
            Judged::Undetermined => Self::Undetermined,
        }
    }
}

/// What a command has to say when nothing went wrong.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// For people; lines without the last line end.
    pub(crate) text: String,
    /// What stands above the text as it is: a picture of this program's own making.
    pub(crate) drawing: Option<String>,
    /// For programs.
    pub(crate) json: Value,
    /// How the program ends.
    pub(crate) status: Status,
}

impl Answer {
    /// An answer with which the program ends well.
    pub(crate) fn new(text: impl Into<String>, json: Value) -> Self {
        Self { text: text.into(), drawing: None, json, status: Status::Done }
    }

    /// The same answer under a picture.
    pub(crate) fn with_drawing(self, drawing: Option<String>) -> Self {
        Self { drawing, ..self }
    }

    /// The same answer with another exit status.
    pub(crate) fn with_status(self, status: Status) -> Self {
        Self { status, ..self }
    }
}

/// Why a command could not do what it was asked.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    /// How the program ends.
    pub(crate) status: Status,
    /// A stable word for programs.
    pub(crate) code: String,
    /// What is wrong, for people.
    pub(crate) message: String,
    /// How to mend it.
    pub(crate) hint: String,
    /// What `--json` prints instead of the usual `{"error": …}`.
    pub(crate) json: Option<Value>,
}

impl Failure {
    /// A failure of any status.
    pub(crate) fn new(
        status: Status,
        code: impl Into<String>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        let (code, message, hint) = (code.into(), message.into(), hint.into());
        Self { status, code, message, hint, json: None }
    }

    /// The ledger, a rule or a file's content says no.
    pub(crate) fn refused(
        code: impl Into<String>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self::new(Status::Refused, code, message, hint)
    }

    /// The command line, or a file named on it, is wrong.
    pub(crate) fn usage(
        code: impl Into<String>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self::new(Status::Usage, code, message, hint)
    }

    /// A node does not answer.
    pub(crate) fn unreachable(
        code: impl Into<String>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self::new(Status::Unreachable, code, message, hint)
    }

    /// The same failure, with its own line for `--json`.
    pub(crate) fn with_json(self, json: Value) -> Self {
        Self { json: Some(json), ..self }
    }

    fn line(&self) -> Value {
        let usual = || {
            let error = json!({"code": self.code, "message": self.message, "hint": self.hint});
            json!({ "error": error })
        };
        self.json.clone().unwrap_or_else(usual)
    }
}

/// What every command returns.
pub(crate) type Outcome = Result<Answer, Failure>;

/// The two streams of the program.
#[derive(Debug)]
pub(crate) struct Output {
    json: bool,
    shown: Cell<bool>,
    /// Whether an answer could not be written where it was sent.
    lost: Cell<bool>,
}

impl Output {
    /// Streams for people, or with `json` for programs.
    pub(crate) fn new(json: bool) -> Self {
        Self { json, shown: Cell::new(false), lost: Cell::new(false) }
    }

    /// Whether somebody watches standard error: only then are progress bars drawn.
    pub(crate) fn is_interactive(&self) -> bool {
        io::stderr().is_terminal()
    }

    /// A line beside the data: on standard error.
    pub(crate) fn note(&self, line: impl AsRef<str>) {
        to_stderr(&format!("{}\n", harmless(line.as_ref())));
    }

    /// Shows an answer now; at most one is shown, so that `--json` stays one line.
    pub(crate) fn show(&self, answer: &Answer) {
        if self.json {
            self.show_line(&answer.json);
        } else if !self.shown.replace(true) {
            let text = harmless(&answer.text);
            let drawing = answer.drawing.as_deref().unwrap_or_default();
            let parts = [drawing, &text].into_iter().filter(|part| !part.is_empty());
            self.deliver(&parts.map(|part| format!("{part}\n")).collect::<String>());
        }
    }

    fn show_line(&self, value: &Value) {
        if !self.shown.replace(true) {
            self.deliver(&format!("{value}\n"));
        }
    }

    fn deliver(&self, text: &str) {
        let mut stdout = io::stdout().lock();
        self.note_lost(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()));
    }

    /// Says at once that an answer cannot be written: a command that runs on would tell too late.
    /// A closed pipe is the reader's choice, and no error.
    fn note_lost(&self, written: io::Result<()>) {
        let Err(error) = written else { return };
        if error.kind() == io::ErrorKind::BrokenPipe {
            return;
        }
        self.lost.set(true);
        to_stderr(&failure_text(&Failure::refused(
            "unwritten_answer",
            format!("the answer cannot be written to standard output: {error}"),
            "send it to a place that takes it; what the command did stays done",
        )));
    }

    /// How the program ends after an answer that was printed by other means, such as a help text.
    pub(crate) fn printed(&self, written: io::Result<()>) -> ExitCode {
        self.note_lost(written);
        ExitCode::from(self.status_of(Status::Done) as u8)
    }

    /// The status of an answer, which must have reached its place.
    fn status_of(&self, answer: Status) -> Status {
        if self.lost.get() { Status::Refused } else { answer }
    }

    /// Prints what a command returned; the program ends with the status that this gives.
    pub(crate) fn finish(&self, outcome: Outcome) -> ExitCode {
        let status = match outcome {
            Ok(answer) => {
                self.show(&answer);
                self.status_of(answer.status)
            }
            // Its status stays: what went wrong is said on the other stream.
            Err(failure) => {
                if self.json {
                    self.show_line(&failure.line());
                }
                to_stderr(&failure_text(&failure));
                failure.status
            }
        };
        ExitCode::from(status as u8)
    }
}

fn failure_text(failure: &Failure) -> String {
    let mut text = format!("error: {}\n", harmless(&failure.message));
    if !failure.hint.is_empty() {
        let hint = harmless(&failure.hint);
        writeln!(text, "hint: {hint}").expect("writing to a string cannot fail");
    }
    text
}

/// Text as a terminal may be given it: its own lines and tabs, and every other character that
/// would move, hide or colour written out.
fn harmless(text: &str) -> String {
    let line = |line: &str| line.split('\t').map(escaped).collect::<Vec<_>>().join("\t");
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

fn to_stderr(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_gives_a_terminal_orders() {
        let failure = Failure::refused("x", "a\u{1b}[2J\u{1b}[32mVALID\rb\nc", "d\u{202e}\u{9b}");
        assert_eq!(
            failure_text(&failure),
            "error: a\\u{1b}[2J\\u{1b}[32mVALID\\u{d}b\nc\nhint: d\\u{202e}\\u{9b}\n"
        );
        assert_eq!(harmless("a\tb\n\n  c 有效"), "a\tb\n\n  c 有效");
        assert_eq!(harmless(&harmless("\u{1b}")), "\\u{1b}", "what was written out stays so");
    }

    #[test]
    fn each_outcome_of_a_verdict_has_its_own_exit_status() {
        let all = [Judged::Valid, Judged::Invalid, Judged::Unknown, Judged::Undetermined];
        assert_eq!(all.map(|outcome| Status::from(outcome) as u8), [0, 1, 4, 5]);
    }

    #[test]
    fn a_failure_says_what_and_how_to_mend_it() {
        let failure = Failure::refused("not_owner", "this is another agency's", "ask its owner");
        assert_eq!(
            failure_text(&failure),
            "error: this is another agency's\nhint: ask its owner\n"
        );
        assert_eq!(
            failure.line().to_string(),
            r#"{"error":{"code":"not_owner","hint":"ask its owner","message":"this is another agency's"}}"#
        );
        assert_eq!(failure.with_json(json!({"rows": 1})).line(), json!({"rows": 1}));
    }
}
