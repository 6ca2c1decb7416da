//! Reads TOML tables field by field, and collects what is wrong with them instead of stopping.
//!
//! A field that is missing or wrong gives `None` and a [`Problem`] with its line; whatever was not
//! asked for is reported as unknown when the table is finished. So a founding document is mended
//! in one pass. What the fields mean is the callers' ([`crate::document`], [`crate::catalogue`]).

use std::{cell::RefCell, fmt, ops::RangeInclusive, str::FromStr};

use serde_json::json;
use toml::{
    Spanned,
    de::{DeArray, DeTable, DeValue},
};

/// Most problems that are reported at once: more help nobody.
pub const MAX_PROBLEMS: usize = 200;

/// One thing that is wrong with a text, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The line, from 1; none when it is about the text as a whole.
    pub line: Option<usize>,
    /// What is wrong.
    pub what: String,
    /// How to mend it.
    pub hint: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.what)?,
            None => f.write_str(&self.what)?,
        }
        if self.hint.is_empty() { Ok(()) } else { write!(f, "; {}", self.hint) }
    }
}

/// The text's lines, and what was found wrong so far.
#[derive(Debug)]
pub(crate) struct Reader {
    /// Byte at which each line after the first begins.
    line_starts: Vec<usize>,
    problems: RefCell<Vec<Problem>>,
}

impl Reader {
    pub(crate) fn new(text: &str) -> Self {
        let starts = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at + 1);
        Self { line_starts: starts.collect(), problems: RefCell::default() }
    }

    /// Parses `text`; syntax errors are problems, and whatever could be read is returned.
    pub(crate) fn parse<'t>(&self, text: &'t str) -> Spanned<DeTable<'t>> {
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let line = error.span().map(|span| self.line(span.start));
            self.report(line, error.message(), "see https://toml.io for the form of such a file");
        }
        table
    }

    /// The line, from 1, of a byte.
    pub(crate) fn line(&self, at: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= at) + 1
    }

    pub(crate) fn report(
        &self,
        line: Option<usize>,
        what: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let problem = Problem { line, what: what.into(), hint: hint.into() };
        self.problems.borrow_mut().push(problem);
    }

    /// What was found, by line, without repetitions.
    pub(crate) fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort();
        problems.dedup();
        if problems.len() > MAX_PROBLEMS {
            let more = problems.len() - MAX_PROBLEMS;
            problems.truncate(MAX_PROBLEMS);
            let what = format!("{more} more problems are not shown");
            problems.push(Problem { line: None, what, hint: "mend these first".to_owned() });
        }
        problems
    }
}

/// A text with the line on which it stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Word<'t> {
    pub(crate) line: usize,
    pub(crate) text: &'t str,
}

impl Word<'_> {
    /// The text as a `T`; a problem when it is none.
    pub(crate) fn parse<T: FromStr<Err: fmt::Display>>(self, reader: &Reader) -> Option<T> {
        self.text
            .parse()
            .map_err(|e| {
                let shown = shorten(self.text);
                reader.report(
                    Some(self.line),
                    format!("{shown} cannot stand here"),
                    format!("{e}"),
                );
            })
            .ok()
    }
}

/// At most 80 characters of a text, quoted and without control characters.
fn shorten(text: &str) -> String {
    const SHOWN: usize = 80;
    let mut short: String = text.chars().take(SHOWN).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    json!(short).to_string()
}

/// One table, whose fields are taken one after another.
#[derive(Debug)]
pub(crate) struct Fields<'t> {
    reader: &'t Reader,
    table: &'t DeTable<'t>,
    /// What the table is, for messages: `[[provinces]]`.
    name: String,
    /// The line on which it begins.
    pub(crate) line: usize,
    asked: RefCell<Vec<&'static str>>,
}

impl<'t> Fields<'t> {
    pub(crate) fn new(reader: &'t Reader, table: &'t Spanned<DeTable<'t>>, name: &str) -> Self {
        Self::of(reader, table.get_ref(), table.span().start, name.to_owned())
    }

    fn of(reader: &'t Reader, table: &'t DeTable<'t>, at: usize, name: String) -> Self {
        Self { reader, table, name, line: reader.line(at), asked: RefCell::default() }
    }

    fn get(&self, key: &'static str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.asked.borrow_mut().push(key);
        self.table.get(key)
    }

    fn line_of(&self, value: &Spanned<DeValue<'_>>) -> usize {
        self.reader.line(value.span().start)
    }

    fn wrong(&self, key: &str, value: &Spanned<DeValue<'_>>, wanted: &str) {
        let kind = value.get_ref().type_str();
        let what = format!("{key} of {} is {} {kind}", self.name, article(kind));
        self.reader.report(Some(self.line_of(value)), what, format!("give {wanted}"));
    }

    fn missing(&self, key: &str, wanted: &str) {
        let what = format!("{} has no {key}", self.name);
        self.reader.report(Some(self.line), what, format!("add {key} = {wanted}"));
    }

    /// A text that must be there. `example` is shown when it is not.
    pub(crate) fn word(&self, key: &'static str, example: &str) -> Option<Word<'t>> {
        let word = self.optional_word(key, example);
        if word.is_none() && !self.table.contains_key(key) {
            self.missing(key, &json!(example).to_string());
        }
        word
    }

    /// A text that may be there.
    pub(crate) fn optional_word(&self, key: &'static str, example: &str) -> Option<Word<'t>> {
        let value = self.get(key)?;
        let word = value.get_ref().as_str();
        if word.is_none() {
            self.wrong(key, value, &format!("a text, such as {}", json!(example)));
        }
        word.map(|text| Word { line: self.line_of(value), text })
    }

    /// A text that must be there and be a `T`.
    pub(crate) fn parsed<T>(&self, key: &'static str, example: &str) -> Option<T>
    where
        T: FromStr<Err: fmt::Display>,
    {
        self.word(key, example)?.parse(self.reader)
    }

    /// A point in time that must be there, as text or as TOML's own date and time.
    pub(crate) fn instant(&self, key: &'static str, example: &str) -> Option<(usize, String)> {
        if let Some(value) = self.table.get(key)
            && let Some(datetime) = value.get_ref().as_datetime()
        {
            self.asked.borrow_mut().push(key);
            return Some((self.line_of(value), datetime.to_string()));
        }
        self.word(key, example).map(|word| (word.line, word.text.to_owned()))
    }

    /// A whole number within `range`, or `default` when it is absent.
    pub(crate) fn number(
        &self,
        key: &'static str,
        default: Option<u64>,
        range: RangeInclusive<u64>,
    ) -> Option<u64> {
        let wanted = format!("a whole number from {} to {}", range.start(), range.end());
        let Some(value) = self.get(key) else {
            if default.is_none() {
                self.missing(key, &range.start().to_string());
            }
            return default;
        };
        let number = value
            .get_ref()
            .as_integer()
            .and_then(|i| u64::from_str_radix(i.as_str(), i.radix()).ok());
        match number {
            Some(number) if range.contains(&number) => Some(number),
            Some(number) => {
                let what = format!("{key} = {number} is out of bounds");
                self.reader.report(Some(self.line_of(value)), what, format!("give {wanted}"));
                None
            }
            None => {
                self.wrong(key, value, &wanted);
                None
            }
        }
    }

    /// `true` or `false`, or `default` when it is absent.
    pub(crate) fn flag(&self, key: &'static str, default: Option<bool>) -> Option<bool> {
        let Some(value) = self.get(key) else {
            if default.is_none() {
                self.missing(key, "true or false");
            }
            return default;
        };
        let flag = value.get_ref().as_bool();
        if flag.is_none() {
            self.wrong(key, value, "true or false");
        }
        flag
    }

    /// Whether a list stands under `key`.
    pub(crate) fn is_list(&self, key: &str) -> bool {
        self.table.get(key).is_some_and(|value| value.get_ref().is_array())
    }

    /// A list of texts; empty when it is absent.
    pub(crate) fn words(&self, key: &'static str) -> Vec<Word<'t>> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let Some(array) = value.get_ref().as_array() else {
            self.wrong(key, value, "a list of texts");
            return Vec::new();
        };
        let word = |item: &'t Spanned<DeValue<'t>>| {
            let text = item.get_ref().as_str();
            if text.is_none() {
                self.wrong(key, item, "texts only");
            }
            text.map(|text| Word { line: self.line_of(item), text })
        };
        array.iter().filter_map(word).collect()
    }

    /// A table that must be there, such as `[chain]`.
    pub(crate) fn table(&self, key: &'static str) -> Option<Fields<'t>> {
        let Some(value) = self.get(key) else {
            let hint = format!("add a table [{key}]");
            self.reader.report(None, format!("{} has no [{key}]", self.name), hint);
            return None;
        };
        let table = value.get_ref().as_table();
        if table.is_none() {
            self.wrong(key, value, &format!("a table [{key}]"));
        }
        table.map(|t| Self::of(self.reader, t, value.span().start, format!("[{key}]")))
    }

    /// A list of tables, such as `[[provinces]]`; empty when it is absent. Reports more than
    /// `most` of them, and reads no more.
    pub(crate) fn tables(&self, key: &'static str, most: usize) -> Vec<Fields<'t>> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let Some(array) = value.get_ref().as_array() else {
            self.wrong(key, value, &format!("tables [[{key}]]"));
            return Vec::new();
        };
        self.tables_of(key, array, most)
    }

    fn tables_of(&self, key: &'static str, array: &'t DeArray<'t>, most: usize) -> Vec<Fields<'t>> {
        if array.len() > most {
            let what = format!("{} tables [[{key}]], more than the {most} allowed", array.len());
            self.reader.report(None, what, "remove some");
        }
        let fields = |item: &'t Spanned<DeValue<'t>>| {
            let table = item.get_ref().as_table();
            if table.is_none() {
                self.wrong(key, item, &format!("tables [[{key}]]"));
            }
            table.map(|t| Self::of(self.reader, t, item.span().start, format!("[[{key}]]")))
        };
        array.iter().take(most).filter_map(fields).collect()
    }

    /// Reports the fields that nobody asked for.
    pub(crate) fn finish(self) {
        let asked = self.asked.into_inner();
        for (key, _) in self.table {
            let name: &str = key.get_ref();
            if !asked.contains(&name) {
                let line = self.reader.line(key.span().start);
                let what = format!("{} of {} is unknown", shorten(name), self.name);
                let hint = format!("it may have: {}", asked.join(", "));
                self.reader.report(Some(line), what, hint);
            }
        }
    }
}

fn article(noun: &str) -> &'static str {
    if noun.starts_with(['a', 'i']) { "an" } else { "a" }
}
