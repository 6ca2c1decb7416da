//! The search for personal strings: every name, number and address of the sample data, in each
//! form in which it could leave a program, in whatever a network of the tests leaves behind.
//!
//! [`Devnet`](crate::devnet::Devnet) searches the folders of its nodes when it ends, so that every
//! test that runs a network takes part; `tests/tests/privacy.rs` looks into the answers, too.
//! Credentials belong to their holders, outside the nodes' folders, and are not searched.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use serde_json::Value;
use symbolon_genesis::Genesis;
use symbolon_ledger::hash::sha256;
use symbolon_node::storage::{Store, schema::cf};

/// The files of `data/` with people in them, and the columns or members that say who somebody is.
const FIXTURES: [(&str, &[&str]); 4] = [
    ("driving-licences.csv", &DRIVING),
    ("driving-with-bad-rows.csv", &DRIVING),
    ("construction-safety.gb18030.csv", &["姓名", "身份证号", "证书编号"]),
    ("business-licences.jsonl", &["法定代表人", "住所"]),
];
const DRIVING: [&str; 4] = ["姓名", "住址", "证号", "档案编号"];
/// Identity numbers: few enough that anybody could find one by its plain digest.
const NUMBERS: [&str; 2] = ["证号", "身份证号"];

/// Bytes by which forms are indexed: a name of two characters in UTF-8. A shorter form, which is
/// such a name in GB18030 with its 4 bytes, would be found in the noise of keys and digests.
const PREFIX: usize = 6;
/// Bits of the filter that most places of a text are turned away by: a hundred for each form.
const FILTER_BITS: u32 = 24;

/// What must not be found.
#[derive(Debug)]
pub struct Secrets {
    values: Vec<String>,
    /// Forms by their first bytes, each with its value's place. Thousands begin alike.
    forms: BTreeMap<[u8; PREFIX], BTreeMap<Vec<u8>, usize>>,
    filter: Vec<u64>,
}

impl Secrets {
    /// Those of all sample data.
    ///
    /// # Panics
    ///
    /// When the sample data cannot be read.
    #[must_use]
    pub fn of_fixtures() -> &'static Self {
        static SECRETS: OnceLock<Secrets> = OnceLock::new();
        SECRETS.get_or_init(|| {
            let words = 1 << (FILTER_BITS - u64::BITS.trailing_zeros());
            let mut secrets =
                Self { values: Vec::new(), forms: BTreeMap::new(), filter: vec![0; words] };
            for (file, columns) in FIXTURES {
                for (column, value) in columns_of(&data(file), columns) {
                    secrets.add(&value, NUMBERS.contains(&column.as_str()));
                }
            }
            secrets
        })
    }

    /// The first value of which some form is in `bytes`.
    #[must_use]
    pub fn find(&self, bytes: &[u8]) -> Option<&str> {
        bytes.windows(PREFIX).enumerate().find_map(|(at, window)| {
            let (word, bit) = place_in_filter(window);
            if self.filter[word] & bit == 0 {
                return None;
            }
            let candidates = self.forms.get(window)?;
            let (_, value) =
                candidates.iter().find(|(form, _)| bytes[at..].starts_with(form.as_slice()))?;
            Some(self.values[*value].as_str())
        })
    }

    /// Fails when a secret is in `bytes`, which `place` names.
    ///
    /// # Panics
    ///
    /// Then.
    pub fn check(&self, place: &str, bytes: &[u8]) {
        let found = self.find(bytes);
        assert!(found.is_none(), "{place} contains {found:?}");
    }

    /// Checks every file under a folder, as it lies on the disk; their number.
    ///
    /// # Panics
    ///
    /// When a secret is in one.
    pub fn check_files(&self, folder: &Path) -> usize {
        let files = files(folder);
        for file in &files {
            // A database removes files while it runs; what is gone holds nothing.
            let Ok(bytes) = fs::read(file) else { continue };
            self.check(&file.display().to_string(), &bytes);
        }
        files.len()
    }

    /// Checks every key and value of a database: compression may hide a string in its files.
    ///
    /// # Panics
    ///
    /// When a secret is in one, or the database cannot be read.
    pub fn check_store(&self, store: &Store) {
        let view = store.view().expect("a view");
        for family in cf::ALL {
            let place = format!("{} of {}", family, store.folder().display());
            for entry in view.entries(family, &[]) {
                let (key, value) = entry.expect("an entry");
                self.check(&place, &key);
                self.check(&place, &value);
            }
        }
    }

    /// Checks what the stopped nodes of a network in `folder` left: their files, with logs and
    /// everything that the database has on the disk, and the database's content of the first
    /// node whose database opens (the chain is the same in all).
    ///
    /// # Panics
    ///
    /// When a secret is in it.
    pub fn check_network(&self, folder: &Path) {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut nodes: Vec<PathBuf> = entries
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("node-"))
            .map(|entry| entry.path())
            .collect();
        nodes.sort();
        for node in &nodes {
            self.check_files(node);
        }
        let genesis = fs::read_to_string(folder.join("genesis.toml"));
        let Some(genesis) = genesis.ok().and_then(|text| Genesis::parse(&text).ok()) else {
            return;
        };
        let open = |node: &PathBuf| Store::open_existing(&node.join("data"), &genesis).ok();
        if let Some(store) = nodes.iter().find_map(open) {
            self.check_store(&store);
        }
    }

    fn add(&mut self, value: &str, is_number: bool) {
        let place = self.values.len();
        for form in forms(value, is_number) {
            let Some(prefix) = form.first_chunk::<PREFIX>() else { continue };
            let (word, bit) = place_in_filter(prefix);
            self.filter[word] |= bit;
            self.forms.entry(*prefix).or_default().insert(form, place);
        }
        self.values.push(value.to_owned());
    }
}

/// The bit of the filter for what begins with these bytes.
fn place_in_filter(prefix: &[u8]) -> (usize, u64) {
    /// 2^32 divided by the golden ratio: neighbours lie far apart.
    const SPREAD: u32 = 0x9e37_79b1;
    let first = prefix.first_chunk().map_or(0, |first| u32::from_le_bytes(*first));
    let at = first.wrapping_mul(SPREAD) >> (u32::BITS - FILTER_BITS);
    ((at / u64::BITS) as usize, 1 << (at % u64::BITS))
}

/// A file of the sample data.
///
/// # Panics
///
/// When there is none.
#[must_use]
pub fn data(name: &str) -> PathBuf {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../data")).join(name);
    assert!(path.exists(), "{}", path.display());
    path
}

/// The values of these columns, row by row, without those that are empty.
fn columns_of(file: &Path, wanted: &[&str]) -> Vec<(String, String)> {
    let bytes = fs::read(file).expect("sample data");
    let name = file.to_string_lossy();
    let encoding = if name.contains("gb18030") { encoding_rs::GB18030 } else { encoding_rs::UTF_8 };
    // Takes a byte order mark away.
    let (text, _, _) = encoding.decode(&bytes);
    let mut found = Vec::new();
    let mut take = |column: &str, value: &str| {
        if wanted.contains(&column) && !value.trim().is_empty() {
            found.push((column.to_owned(), value.trim().to_owned()));
        }
    };
    if name.ends_with(".jsonl") {
        for line in text.lines() {
            let row: Value = serde_json::from_str(line).expect("a JSON object");
            for (column, value) in row.as_object().expect("a JSON object") {
                take(column, value.as_str().unwrap_or_default());
            }
        }
    } else {
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
        let headers = reader.headers().expect("headers").clone();
        for row in reader.records() {
            for (column, value) in headers.iter().zip(row.expect("a row").iter()) {
                take(column, value);
            }
        }
    }
    found
}

/// A value in UTF-8 and GB18030, percent-encoded, escaped for JSON, in both alphabets of base64
/// wherever it begins in a text; and a number's plain digest.
fn forms(value: &str, is_number: bool) -> Vec<Vec<u8>> {
    let (gb18030, _, _) = encoding_rs::GB18030.encode(value);
    let mut forms = vec![value.as_bytes().to_vec(), gb18030.to_vec()];
    let (mut upper, mut lower, mut escaped) = (String::new(), String::new(), String::new());
    for character in value.chars() {
        if character.is_ascii_alphanumeric() {
            upper.push(character);
            lower.push(character);
            escaped.push(character);
            continue;
        }
        for byte in character.encode_utf8(&mut [0; 4]).bytes() {
            // Writing to a text does not fail.
            let _ = write!(upper, "%{byte:02X}");
            let _ = write!(lower, "%{byte:02x}");
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            let _ = write!(escaped, "\\u{unit:04x}");
        }
    }
    forms.extend([upper, lower, escaped].map(String::into_bytes));
    for bytes in [value.as_bytes(), gb18030.as_ref()] {
        for before in 0..3 {
            let shifted = [&vec![0; before][..], bytes].concat();
            // Characters that are made of the value's bits alone.
            let (first, end) = ((before * 8).div_ceil(6), shifted.len() * 8 / 6);
            for alphabet in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
                forms.push(alphabet.encode(&shifted).as_bytes()[first..end].to_vec());
            }
        }
    }
    if is_number {
        let digest = sha256(value.as_bytes());
        forms.extend([digest.as_bytes().to_vec(), digest.to_string().into_bytes()]);
    }
    forms
}

/// Every file under a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_value_is_found_wherever_it_stands() {
        let secrets = Secrets::of_fixtures();
        for (file, _) in FIXTURES {
            let bytes = fs::read(data(file)).unwrap();
            assert!(secrets.find(&bytes).is_some(), "{file}");
        }
        let (name, number) = ("陆园琼", "449999200004216907");
        let url = "GET /v1/x?a=%E9%99%86%E5%9B%AD%E7%90%BC&b=1";
        let coded = |text: String| URL_SAFE_NO_PAD.encode(text).into_bytes();
        let rows = [
            url.as_bytes().to_vec(),
            url.to_lowercase().into_bytes(),
            br#"{"a":"\u9646\u56ed\u743c"}"#.to_vec(),
            encoding_rs::GB18030.encode(name).0.to_vec(),
            coded(format!("{name}~")),
            coded(format!("[\"{name}\"]")),
            coded(format!("[\"x\",\"{name}\"]")),
            coded(format!("[{number}]")),
            sha256(number.as_bytes()).as_bytes().to_vec(),
            sha256(number.as_bytes()).to_string().into_bytes(),
        ];
        for (at, row) in rows.iter().enumerate() {
            let padded = [&[0xff; 5][..], row, &[0xff; 5]].concat();
            assert!(secrets.find(&padded).is_some(), "row {at}");
        }
        assert_eq!(secrets.find("GET /v1/licences/陆 园".as_bytes()), None);
        assert_eq!(secrets.find(b""), None);
    }
}
