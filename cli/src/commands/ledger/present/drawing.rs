//! Where the QR code of a presentation goes, and how dense it may be there.

use std::{
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
};

use crate::{
    files,
    output::Failure,
    qr::{Code, Correction},
    targets::{self, Kind},
};

/// Largest version that telephones read well at arm's length (`docs/spec/elc1.md`).
pub(super) const MAX_READABLE_VERSION: usize = 24;

/// A place for a code.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Drawing {
    /// Standard output.
    Terminal,
    /// A picture of pixels.
    Png(PathBuf),
    /// A picture of shapes.
    Svg(PathBuf),
}

impl Drawing {
    /// The place that `--qr` names.
    ///
    /// # Errors
    ///
    /// When the file is neither a PNG nor an SVG by its name.
    pub(super) fn parse(path: &Path) -> Result<Self, Failure> {
        if path == Path::new(files::STDIN) {
            return Ok(Self::Terminal);
        }
        let extension = path.extension().unwrap_or_default().to_string_lossy();
        match extension.to_ascii_lowercase().as_str() {
            "png" => Ok(Self::Png(path.to_owned())),
            "svg" => Ok(Self::Svg(path.to_owned())),
            _ => Err(Failure::usage(
                "unknown_picture_form",
                format!("{} is neither a .png nor an .svg", path.display()),
                "give --qr FILE.png, --qr FILE.svg, or --qr - for the terminal",
            )),
        }
    }

    /// The file, if it is one.
    pub(super) fn path(&self) -> Option<&Path> {
        match self {
            Self::Terminal => None,
            Self::Png(path) | Self::Svg(path) => Some(path),
        }
    }

    /// Draws `code`; gives the text for the terminal.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub(super) fn draw(&self, code: &Code) -> Result<Option<String>, Failure> {
        match self {
            Self::Terminal => {
                let no_colour = |name| std::env::var_os(name).is_some_and(|v| !v.is_empty());
                let plain = !io::stdout().is_terminal() || no_colour("NO_COLOR");
                return Ok(Some(code.terminal(!plain)));
            }
            Self::Png(path) => targets::write(path, &code.png()?, Kind::Picture)?,
            Self::Svg(path) => targets::write(path, code.svg().as_bytes(), Kind::Picture)?,
        }
        Ok(None)
    }
}

/// The code of an ELC1 text: on screens as large modules as can be, on paper with as much
/// correction as [`MAX_READABLE_VERSION`] allows. `None` when no code is large enough.
pub(super) fn code(text: &str, on_paper: bool) -> Option<Code> {
    if !on_paper {
        return Code::of(text, Correction::Low);
    }
    let readable = |code: &Code| code.version() <= MAX_READABLE_VERSION;
    Code::of(text, Correction::Quartile)
        .filter(readable)
        .or_else(|| Code::of(text, Correction::Medium))
        .or_else(|| Code::of(text, Correction::Low))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_told_by_its_name() {
        let check = |name: &str, expected: Option<Drawing>| {
            assert_eq!(Drawing::parse(Path::new(name)).ok(), expected, "{name}");
        };
        check("-", Some(Drawing::Terminal));
        check("a/b.png", Some(Drawing::Png("a/b.png".into())));
        check("b.SVG", Some(Drawing::Svg("b.SVG".into())));
        for bad in ["b", "b.jpg", "png", ".png"] {
            check(bad, None);
        }
    }

    #[test]
    fn paper_gets_the_most_correction_that_cameras_read() {
        let check = |length: usize, on_paper, expected: Option<(usize, &str)>| {
            let code = code(&"A".repeat(length), on_paper);
            assert_eq!(code.map(|c| (c.version(), c.correction().letter())), expected, "{length}");
        };
        check(1_000, false, Some((18, "L")));
        check(963, true, Some((24, "Q")));
        check(964, true, Some((20, "M")));
        check(2_000, true, Some((31, "M")));
        check(4_000, true, Some((39, "L")));
        check(4_296, true, Some((40, "L")));
        check(4_297, true, None);
    }
}
