//! The rows of a file of licences: CSV or JSON Lines, in the encodings that agencies send.
//!
//! A file stays as bytes and each row is a range of them, so that a million rows take no more
//! memory than the file. Rows are numbered as a spreadsheet numbers them: a CSV's header is row 1,
//! and a line break inside quotes begins no row. Separators, quotes and line ends are never part
//! of a character in UTF-8 or GB18030, so rows are found before they are decoded, and a row with a
//! broken character spoils no other.

use std::{collections::BTreeMap, ops::Range, path::Path};

use encoding_rs::{Encoding, GB18030, GBK, UTF_8, UTF_16BE, UTF_16LE};
use serde_json::Value;
use symbolon_credential::encoding::parse_json;

use crate::{files, output::Failure};

/// Most bytes of a file: a million licences with long addresses.
const MAX_FILE_BYTES: u64 = 512 * 1024 * 1024;
/// Most bytes of a row: the greatest credential, twice.
const MAX_ROW_BYTES: usize = 128 * 1024;
/// Characters beyond ASCII that a file must have in valid UTF-8 before its first error, to count
/// as UTF-8 with an error rather than as GB18030: so many agree by chance in no real text.
const UTF8_EVIDENCE: usize = 6;

/// The form of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Comma-separated values with a header.
    Csv,
    /// One JSON object a line.
    Jsonl,
}

/// What the command line says of a file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Declared {
    pub(crate) format: Option<Format>,
    pub(crate) encoding: Option<&'static Encoding>,
}

/// A file of rows.
#[derive(Debug)]
pub(crate) struct Source {
    bytes: Vec<u8>,
    /// How its rows are decoded.
    pub(crate) encoding: &'static Encoding,
    /// Its form.
    pub(crate) format: Format,
    /// The header's names, of a CSV.
    pub(crate) columns: Vec<String>,
    first: usize,
}

/// Where a row stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// Its number.
    pub(crate) row: usize,
    range: Range<usize>,
    closed: bool,
}

/// What is wrong with a row as a row, before its claims are looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RowFault {
    /// The column at fault; empty for the whole row.
    pub(crate) column: String,
    /// A stable word.
    pub(crate) code: &'static str,
    /// How to mend it; never a value.
    pub(crate) hint: String,
}

impl RowFault {
    fn row(code: &'static str, hint: impl Into<String>) -> Self {
        Self { column: String::new(), code, hint: hint.into() }
    }
}

/// Values by column name.
pub(crate) type Cells = BTreeMap<String, String>;

impl Source {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// When it cannot be read, is no such file, or its header cannot be understood.
    pub(crate) fn read(path: &Path, declared: Declared) -> Result<Self, Failure> {
        let bytes = files::read(path, MAX_FILE_BYTES, "the file of licences").map_err(or_split)?;
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        let by_name = match extension.to_ascii_lowercase().as_str() {
            "jsonl" | "ndjson" | "json" => Some(Format::Jsonl),
            "csv" => Some(Format::Csv),
            _ => None,
        };
        Self::parse(bytes, Declared { format: declared.format.or(by_name), ..declared })
            .map_err(|failure| of_file(path, failure))
    }

    fn parse(bytes: Vec<u8>, declared: Declared) -> Result<Self, Failure> {
        refuse_spreadsheets(&bytes)?;
        let (bytes, encoding) = decoded(bytes, declared.encoding)?;
        let opening = bytes.iter().find(|b| !b.is_ascii_whitespace());
        let format = declared.format.unwrap_or(match opening {
            Some(b'{') => Format::Jsonl,
            _ => Format::Csv,
        });
        let mut source = Self { bytes, encoding, format, columns: Vec::new(), first: 0 };
        if format == Format::Csv {
            let mut places = source.places();
            let header = places.next().ok_or_else(empty)?;
            let (row, first) = (header.row, header.range.end);
            source.columns = source.fields(&header).map_err(|fault| {
                Failure::usage(
                    fault.code,
                    format!("row {row}, the header, cannot be read"),
                    fault.hint,
                )
            })?;
            source.first = first;
        }
        Ok(source)
    }

    /// The places of the rows, without a CSV's header and without empty lines.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Place> {
        self.places().skip_while(|place| place.range.end <= self.first && self.first > 0)
    }

    fn places(&self) -> Places<'_> {
        Places { bytes: &self.bytes, at: 0, row: 0, quotes: self.format == Format::Csv }
    }

    /// The values of a row.
    ///
    /// # Errors
    ///
    /// [`RowFault`].
    pub(crate) fn cells(&self, place: &Place) -> Result<Cells, RowFault> {
        match self.format {
            Format::Jsonl => object(&self.decode(place)?),
            Format::Csv => {
                let fields = self.fields(place)?;
                let (found, wanted) = (fields.len(), self.columns.len());
                if found < wanted {
                    let hint = format!(
                        "{found} fields where the header has {wanted}; add the missing ones"
                    );
                    return Err(RowFault::row("missing_columns", hint));
                }
                if found > wanted {
                    let hint = format!(
                        "{found} fields where the header has {wanted}; put a value with a comma into quotes"
                    );
                    return Err(RowFault::row("extra_columns", hint));
                }
                Ok(self.columns.iter().cloned().zip(fields).collect())
            }
        }
    }

    fn fields(&self, place: &Place) -> Result<Vec<String>, RowFault> {
        if !place.closed {
            return Err(RowFault::row(
                "unclosed_quote",
                "a quote opens here and is never closed, so the rest of the file cannot be read; close it",
            ));
        }
        let text = self.decode(place)?;
        // Rows end where `Places` ends them. A bare carriage return would end one here too, and
        // what follows it would be lost without a word; as a character it is refused.
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .terminator(csv::Terminator::Any(b'\n'))
            .flexible(true)
            .from_reader(text.as_bytes());
        let record = reader.records().next().and_then(Result::ok);
        let record = record.ok_or_else(|| RowFault::row("bad_row", "write the row as CSV"))?;
        Ok(record.iter().map(str::to_owned).collect())
    }

    fn decode(&self, place: &Place) -> Result<String, RowFault> {
        let bytes = &self.bytes[place.range.clone()];
        if bytes.len() > MAX_ROW_BYTES {
            let hint = format!("{} bytes, more than the {MAX_ROW_BYTES} of a row", bytes.len());
            return Err(RowFault::row("row_too_long", hint));
        }
        let text = self.encoding.decode_without_bom_handling_and_without_replacement(bytes);
        text.map(std::borrow::Cow::into_owned).ok_or_else(|| {
            let hint = format!("a character is not {}; save the file again", self.encoding.name());
            RowFault::row("bad_encoding", hint)
        })
    }
}

/// One row after another.
struct Places<'b> {
    bytes: &'b [u8],
    at: usize,
    row: usize,
    /// Whether quotes hide line breaks (RFC 4180).
    quotes: bool,
}

impl Iterator for Places<'_> {
    type Item = Place;

    fn next(&mut self) -> Option<Place> {
        while self.at < self.bytes.len() {
            let start = self.at;
            let (end, closed) = self.end_of_row(start);
            self.at = end + 1;
            self.row += 1;
            let end = if self.bytes[start..end].ends_with(b"\r") { end - 1 } else { end };
            if !self.bytes[start..end].trim_ascii().is_empty() {
                return Some(Place { row: self.row, range: start..end, closed });
            }
        }
        None
    }
}

impl Places<'_> {
    /// Where the row from `start` ends, and whether its last quote is closed.
    fn end_of_row(&self, start: usize) -> (usize, bool) {
        let (mut quoted, mut field_begins, mut closed_at) = (false, true, usize::MAX);
        for (at, byte) in self.bytes.iter().enumerate().skip(start) {
            match byte {
                b'\n' if !quoted => return (at, true),
                b'"' if quoted => (quoted, closed_at) = (false, at),
                // In quotes a doubled quote closes and opens again.
                b'"' if self.quotes && (field_begins || closed_at == at.wrapping_sub(1)) => {
                    quoted = true;
                }
                _ => {}
            }
            field_begins = *byte == b',';
        }
        (self.bytes.len(), !quoted)
    }
}

/// A failure of the whole file, with the file's name.
pub(super) fn of_file(path: &Path, failure: Failure) -> Failure {
    let message = format!("{}: {}", path.display(), failure.message);
    Failure { message, ..failure }
}

/// The failure of a file that is too long, which can be imported in parts.
fn or_split(failure: Failure) -> Failure {
    if failure.code != "file_too_large" {
        return failure;
    }
    let hint = "split it, and import the parts into the same --out";
    Failure { hint: hint.to_owned(), ..failure }
}

/// The failure of a file without rows.
pub(super) fn empty() -> Failure {
    Failure::usage("empty_file", "the file has no rows", "check that it was written completely")
}

fn refuse_spreadsheets(bytes: &[u8]) -> Result<(), Failure> {
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"\xd0\xcf\x11\xe0") {
        return Err(Failure::usage(
            "spreadsheet",
            "the file is a spreadsheet (XLSX or XLS), not text",
            "save it as CSV (UTF-8) and import that",
        ));
    }
    Ok(())
}

/// The file's bytes without a byte order mark, and their encoding. UTF-16, in which a line end is
/// not one byte, is turned into UTF-8 first.
fn decoded(
    bytes: Vec<u8>,
    declared: Option<&'static Encoding>,
) -> Result<(Vec<u8>, &'static Encoding), Failure> {
    let marked = Encoding::for_bom(&bytes);
    let (encoding, skip) = match (declared, marked) {
        (_, Some((encoding, length))) => (encoding, length),
        // GB18030 has every character of GBK and GB2312, at the same bytes.
        (Some(encoding), None) if encoding == GBK => (GB18030, 0),
        (Some(encoding), None) => (encoding, 0),
        (None, None) => (detect(&bytes), 0),
    };
    if encoding == UTF_16LE || encoding == UTF_16BE {
        let text = encoding.decode_without_bom_handling_and_without_replacement(&bytes[skip..]);
        let text = text.ok_or_else(|| {
            Failure::usage(
                "bad_encoding",
                format!("the file is not the {} that its first bytes announce", encoding.name()),
                "save it as UTF-8",
            )
        })?;
        return Ok((text.into_owned().into_bytes(), UTF_8));
    }
    if encoding != UTF_8 && encoding != GB18030 {
        return Err(Failure::usage(
            "bad_encoding",
            format!("files in {} are not read", encoding.name()),
            "give --encoding utf-8 or gb18030, or save the file as UTF-8",
        ));
    }
    let bytes = if skip == 0 { bytes } else { bytes[skip..].to_vec() };
    Ok((bytes, encoding))
}

/// UTF-8 when the file is, or plainly was before some bytes broke; else GB18030, of which GBK and
/// GB2312 are parts.
fn detect(bytes: &[u8]) -> &'static Encoding {
    match std::str::from_utf8(bytes) {
        Ok(_) => UTF_8,
        Err(e) => {
            let valid = std::str::from_utf8(&bytes[..e.valid_up_to()]).unwrap_or_default();
            let evidence = valid.chars().filter(|c| !c.is_ascii()).take(UTF8_EVIDENCE).count();
            if evidence == UTF8_EVIDENCE { UTF_8 } else { GB18030 }
        }
    }
}

/// The values of a line of JSON Lines. `null` counts as absent.
fn object(line: &str) -> Result<Cells, RowFault> {
    let value = parse_json(line.trim().as_bytes()).map_err(|_| {
        RowFault::row("bad_json", "one JSON object a line, without a repeated key or a fraction")
    })?;
    let Value::Object(members) = value else {
        return Err(RowFault::row(
            "bad_json",
            "one JSON object a line, such as {\"name\": \"...\"}",
        ));
    };
    let mut cells = Cells::new();
    for (column, value) in members {
        match value {
            Value::String(text) => {
                cells.insert(column, text);
            }
            Value::Null => {}
            _ => {
                let hint = "give the value as text, in quotes".to_owned();
                return Err(RowFault { column, code: "not_text", hint });
            }
        }
    }
    Ok(cells)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(bytes: &[u8], format: Format) -> Source {
        let declared = Declared { format: Some(format), encoding: None };
        Source::parse(bytes.to_vec(), declared).unwrap()
    }

    type Seen = Vec<(usize, Result<Vec<String>, &'static str>)>;

    fn seen(source: &Source) -> Seen {
        let values = |place: &Place| match source.cells(place) {
            Ok(cells) => Ok(cells.into_values().collect()),
            Err(fault) => Err(fault.code),
        };
        source.rows().map(|place| (place.row, values(&place))).collect()
    }

    fn ok(values: &[&str]) -> Result<Vec<String>, &'static str> {
        Ok(values.iter().map(|v| (*v).to_owned()).collect())
    }

    #[test]
    fn rows_are_numbered_as_a_spreadsheet_numbers_them() {
        let text = "\u{feff}a,b\r\n1,2\r\n\r\n\"x\ny\",\"q\"\"q\"\r\n3\r\n4,5,6\r\n7,8\"\"9\r\n";
        let source = source(text.as_bytes(), Format::Csv);
        assert_eq!(source.columns, ["a", "b"]);
        assert_eq!(
            seen(&source),
            [
                (2, ok(&["1", "2"])),
                (4, ok(&["x\ny", "q\"q"])),
                (5, Err("missing_columns")),
                (6, Err("extra_columns")),
                (7, ok(&["7", "8\"\"9"])),
            ]
        );
    }

    #[test]
    fn a_bare_carriage_return_hides_no_row() {
        let mixed = source(b"a,b\n1,2\r3,4\n5,6\n", Format::Csv);
        assert_eq!(seen(&mixed), [(2, Err("extra_columns")), (3, ok(&["5", "6"]))]);
        let one = source(b"a,b\n1,2\r\n3\r,4\r\n", Format::Csv);
        assert_eq!(seen(&one), [(2, ok(&["1", "2"])), (3, ok(&["3\r", "4"]))]);
        // A file of an old Macintosh is one long header, which fits no licence type.
        let old = source(b"a,b\r1,2\r3,4\r", Format::Csv);
        assert_eq!(old.columns, ["a", "b\r1", "2\r3", "4"]);
        assert_eq!(seen(&old), []);
    }

    #[test]
    fn gbk_is_read_as_the_part_of_gb18030_that_it_is() {
        let bytes = GB18030.encode("姓名\n陆园琼\n").0.into_owned();
        for label in ["gbk", "gb2312", "gb18030"] {
            let encoding = Encoding::for_label(label.as_bytes());
            let declared = Declared { format: Some(Format::Csv), encoding };
            let source = Source::parse(bytes.clone(), declared).unwrap();
            assert_eq!(seen(&source), [(2, ok(&["陆园琼"]))], "{label}");
        }
    }

    #[test]
    fn a_quote_that_is_never_closed_is_named_where_it_opens() {
        let source = source(b"a,b\n1,2\n\"3,4\n5,6\n", Format::Csv);
        assert_eq!(seen(&source), [(2, ok(&["1", "2"])), (3, Err("unclosed_quote"))]);
    }

    #[test]
    fn each_encoding_gives_the_same_rows() {
        let text = "姓名,性别\r\n陆园琼,女\r\n黄杰馥,男\r\n";
        let wanted = [(2, ok(&["陆园琼", "女"])), (3, ok(&["黄杰馥", "男"]))];
        let gb = GB18030.encode(text).0.into_owned();
        let utf16: Vec<u8> =
            std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
        let marked = [b"\xef\xbb\xbf".as_slice(), text.as_bytes()].concat();
        for bytes in [text.as_bytes(), &gb, &utf16, &marked] {
            let source = source(bytes, Format::Csv);
            let values: Vec<_> = source.rows().map(|p| source.cells(&p).unwrap()).collect();
            assert_eq!(values.len(), wanted.len());
            assert_eq!(values[0]["姓名"], "陆园琼");
            assert_eq!(values[1]["性别"], "男");
        }
    }

    #[test]
    fn a_broken_character_spoils_its_row_only() {
        let mut bytes = "姓名,住址\n陆园琼,深圳市南山区\n".as_bytes().to_vec();
        bytes.extend(b"\xe9\xbb,x\n");
        bytes.extend("孟艺杰,东莞市\n".as_bytes());
        let source = source(&bytes, Format::Csv);
        assert_eq!(source.encoding, UTF_8);
        let codes: Vec<_> = seen(&source).into_iter().map(|(r, v)| (r, v.err())).collect();
        assert_eq!(codes, [(2, None), (3, Some("bad_encoding")), (4, None)]);
    }

    #[test]
    fn json_lines_are_objects_of_texts() {
        let text =
            "{\"a\":\"1\",\"b\":null}\n\n[1]\n{\"a\":1}\n{\"a\":\"1\",\"a\":\"2\"}\n{\"a\"\n";
        let source = source(text.as_bytes(), Format::Jsonl);
        assert_eq!(
            seen(&source),
            [
                (1, ok(&["1"])),
                (3, Err("bad_json")),
                (4, Err("not_text")),
                (5, Err("bad_json")),
                (6, Err("bad_json")),
            ]
        );
    }

    #[test]
    fn what_is_not_a_table_is_refused_with_a_reason() {
        let code = |bytes: &[u8]| {
            let declared = Declared { format: None, encoding: None };
            Source::parse(bytes.to_vec(), declared).map_err(|f| f.code).err()
        };
        assert_eq!(code(b"PK\x03\x04..."), Some("spreadsheet".to_owned()));
        assert_eq!(code(b"\n\n"), Some("empty_file".to_owned()));
        assert_eq!(code(b"\xff\xfe\x00\xd8"), Some("bad_encoding".to_owned()));
        assert_eq!(code(b"{\"a\":\"1\"}"), None);
    }
}
