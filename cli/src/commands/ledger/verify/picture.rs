//! The QR code in a picture: a screenshot, a scan, a photograph.
//!
//! A picture comes from anybody, so everything about it is bounded before it costs anything: its
//! bytes, its pixels as its header states them, the memory of its decoder. What a code says is only
//! read, never followed; and of a code that is no licence nothing is repeated, since it may be
//! somebody's data or made to be shown.

use std::io::Cursor;

use image::{
    DynamicImage, GrayImage, ImageDecoder as _, ImageFormat, ImageReader, Limits, Luma, imageops,
};
use rxing::{
    BinaryBitmap, DecodeHints, Luma8Source, common::HybridBinarizer,
    multi::MultipleBarcodeReader as _, qrcode::cpp_port::QrReader,
};
use symbolon_credential::{elc1, sd_jwt::Parsed};

use crate::output::Failure;

/// Most bytes of a picture: a telephone's photograph has 3 to 12 MB.
pub(super) const MAX_BYTES: u64 = 24 * 1024 * 1024;
/// Most pixels: twice those of a usual photograph.
const MAX_PIXELS: u64 = 25_000_000;
/// Most bytes that the decoder may take: [`MAX_PIXELS`] of four channels, twice.
const MAX_MEMORY: u64 = 200_000_000;
/// Fewest pixels of a side that a code has.
const MIN_SIDE: u32 = 21;
/// Pixels in which codes are looked for; larger pictures are made smaller first. Where a code fills
/// a quarter of the picture's side, a module of version 24 still has four. Bounds the work, too: a
/// picture full of corners of codes keeps the reader busy for some seconds.
const MAX_SEARCHED: u32 = 4_000_000;
/// By what that picture is made smaller again, one after the other, until its code is found.
const SCALES: [u32; 2] = [1, 2];

/// What pictures begin with, and what they are.
const FORMS: [(&[u8], &str); 8] = [
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF8", "GIF"),
    (b"RIFF", "WebP"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"%PDF-", "PDF"),
];

/// What kind of picture `bytes` are, by what they begin with; `None` for none that is known.
pub(super) fn form(bytes: &[u8]) -> Option<&'static str> {
    let by_start = FORMS.iter().find(|(start, _)| bytes.starts_with(start)).map(|(_, name)| *name);
    let is_heic = bytes.get(4..8) == Some(b"ftyp");
    let is_svg = || bytes.trim_ascii_start().starts_with(b"<");
    by_start.or(is_heic.then_some("HEIC")).or_else(|| is_svg().then_some("SVG or HTML"))
}

/// The presentation in the QR code of a picture.
///
/// # Errors
///
/// When it is no PNG or JPEG, is too large or damaged, or does not show exactly one licence.
pub(super) fn read(bytes: &[u8]) -> Result<String, Failure> {
    let grey = decode(bytes)?;
    let mut codes = find(grey);
    codes.sort_unstable();
    codes.dedup();
    match codes.as_slice() {
        [] => Err(Failure::refused(
            "no_code",
            "there is no readable QR code in the picture",
            "show the whole code with the light border around it, sharp, and as large as can be; \
             a code that is too dense for the camera is shown with fewer claims",
        )),
        [code] => licence(code),
        several => Err(Failure::refused(
            "several_codes",
            format!("there are {} QR codes in the picture", several.len()),
            "cut the picture so that only the licence's code is in it",
        )),
    }
}

/// The content of a code, if it is a licence.
fn licence(code: &str) -> Result<String, Failure> {
    let code = code.trim();
    if code.starts_with(elc1::PREFIX) || Parsed::parse(code).is_ok() {
        return Ok(code.to_owned());
    }
    let scheme = code.split_once("://").is_some_and(|(scheme, _)| {
        !scheme.is_empty()
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
    });
    let kind =
        if scheme { "an address of some service, which is not followed" } else { "something else" };
    Err(Failure::refused(
        "foreign_code",
        format!("the QR code in the picture is not a licence: it holds {kind}"),
        format!("a licence's code begins with {}; ask its holder for that one", elc1::PREFIX),
    ))
}

/// The picture in grey.
fn decode(bytes: &[u8]) -> Result<GrayImage, Failure> {
    let damaged = |what: &dyn std::fmt::Display| {
        Failure::refused(
            "bad_picture",
            format!("the picture cannot be read: {what}"),
            "save it again as PNG or JPEG, or take a new one",
        )
    };
    let format = match form(bytes) {
        Some("PNG") => ImageFormat::Png,
        Some("JPEG") => ImageFormat::Jpeg,
        other => {
            return Err(Failure::refused(
                "picture_form",
                format!("{} is not read, only PNG and JPEG", other.unwrap_or("this form")),
                "save the picture as PNG, or take a screenshot of it",
            ));
        }
    };
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_MEMORY);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(|e| damaged(&e))?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(Failure::refused(
            "picture_too_large",
            format!("the picture has {width} x {height} pixels; {MAX_PIXELS} in all are read"),
            "cut it to the code, or make it smaller",
        ));
    }
    if width.min(height) < MIN_SIDE {
        return Err(damaged(&format!("{width} x {height} pixels hold no QR code")));
    }
    // Transparent places become white, as a screen or paper beneath them would be.
    let picture = DynamicImage::from_decoder(decoder).map_err(|e| damaged(&e))?;
    Ok(on_white(&picture))
}

/// Grey values on a white ground.
fn on_white(picture: &DynamicImage) -> GrayImage {
    if !picture.color().has_alpha() {
        return picture.to_luma8();
    }
    let see_through = picture.to_luma_alpha8();
    let (width, height) = see_through.dimensions();
    GrayImage::from_fn(width, height, |x, y| {
        let [grey, alpha] = see_through.get_pixel(x, y).0.map(u32::from);
        let shown = (grey * alpha + 255 * (255 - alpha)) / 255;
        Luma([u8::try_from(shown).unwrap_or(u8::MAX)])
    })
}

/// The texts of the codes in a picture: as it is, then smaller, which takes noise and blur away,
/// then with dark and light exchanged, as a terminal may show it. The first that shows any counts.
fn find(mut grey: GrayImage) -> Vec<String> {
    for _ in [false, true] {
        for smaller in SCALES {
            let view = shrunk(&grey, smaller);
            if view.width().min(view.height()) < MIN_SIDE {
                continue;
            }
            let found = codes(view);
            if !found.is_empty() {
                return found;
            }
        }
        imageops::invert(&mut grey);
    }
    Vec::new()
}

/// The picture with [`MAX_SEARCHED`] pixels at most, its sides divided by `smaller`.
fn shrunk(grey: &GrayImage, smaller: u32) -> GrayImage {
    let (width, height) = (grey.width(), grey.height());
    let pixels = f64::from(width) * f64::from(height);
    let factor = (f64::from(MAX_SEARCHED) / pixels).sqrt().min(1.0) / f64::from(smaller);
    if factor >= 1.0 {
        return grey.clone();
    }
    // A float becomes the nearest number of its range, so no side is lost.
    let side = |side: u32| ((f64::from(side) * factor) as u32).max(1);
    imageops::thumbnail(grey, side(width), side(height))
}

fn codes(view: GrayImage) -> Vec<String> {
    let (width, height) = view.dimensions();
    let Ok(source) = Luma8Source::new(view.into_raw(), width, height) else { return Vec::new() };
    let mut image = BinaryBitmap::new(HybridBinarizer::new(source));
    let hints = DecodeHints { TryHarder: Some(true), ..DecodeHints::default() };
    let found = QrReader.decode_multiple_with_hints(&mut image, &hints).unwrap_or_default();
    found.iter().map(|code| code.getText().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use image::{ExtendedColorType, ImageEncoder as _, codecs::jpeg::JpegEncoder};

    use super::*;
    use crate::qr::{Code, Correction};

    /// As many characters as a licence with its default claims has.
    fn text() -> String {
        let body =
            (0..1_076u32).map(|i| char::from(b"0123456789ABCDEF $%*+-./:"[(i * i % 25) as usize]));
        format!("{}{}", elc1::PREFIX, body.collect::<String>())
    }

    fn drawn(text: &str) -> GrayImage {
        let png = Code::of(text, Correction::Low).unwrap().png().unwrap();
        image::load_from_memory(&png).unwrap().to_luma8()
    }

    fn png(picture: &DynamicImage) -> Vec<u8> {
        let mut bytes = Vec::new();
        picture.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png).unwrap();
        bytes
    }

    fn jpeg(picture: &GrayImage, quality: u8) -> Vec<u8> {
        let mut bytes = Vec::new();
        let (width, height) = picture.dimensions();
        JpegEncoder::new_with_quality(&mut bytes, quality)
            .write_image(picture.as_raw(), width, height, ExtendedColorType::L8)
            .unwrap();
        bytes
    }

    /// Turned about its middle on a grey table, seen from somewhat above.
    fn photographed(code: &GrayImage, degrees: f64, side: u32) -> GrayImage {
        let (sin, cos) = degrees.to_radians().sin_cos();
        let scale = f64::from(code.width()) / f64::from(side) * 1.4;
        GrayImage::from_fn(side, side, |x, y| {
            let (x, y) =
                (f64::from(x) - f64::from(side) / 2.0, f64::from(y) - f64::from(side) / 2.0);
            let depth = 1.0 + y / f64::from(side) * 0.12;
            let (x, y) = (x * scale * depth, y * scale * depth);
            let middle = f64::from(code.width()) / 2.0;
            let (u, v) = (middle + x * cos - y * sin, middle + x * sin + y * cos);
            let inside = |at: f64| (0.0..f64::from(code.width())).contains(&at);
            let value =
                if inside(u) && inside(v) { code.get_pixel(u as u32, v as u32).0[0] } else { 190 };
            Luma([value / 2 + 60])
        })
    }

    fn read_code(picture: &[u8]) -> Result<String, String> {
        read(picture).map_err(|failure| failure.code)
    }

    #[test]
    fn a_code_is_read_however_it_was_photographed() {
        let (text, code) = (text(), drawn(&text()));
        let check = |how: &str, picture: Vec<u8>| {
            assert_eq!(read_code(&picture), Ok(text.clone()), "{how}")
        };
        check("as it is", png(&code.clone().into()));
        check("as JPEG", jpeg(&code, 50));
        check("small", png(&imageops::thumbnail(&code, 400, 400).into()));
        check("upside down", png(&imageops::rotate180(&code).into()));
        for degrees in [3.0, 17.0, 45.0, 100.0, 261.0] {
            let picture = photographed(&code, degrees, 1_000);
            check(&format!("turned by {degrees}"), jpeg(&picture, 70));
            check(
                &format!("turned by {degrees}, blurred"),
                jpeg(&imageops::blur(&picture, 1.2), 70),
            );
        }
        let mut inverted = code.clone();
        imageops::invert(&mut inverted);
        check("from a dark terminal", png(&inverted.into()));
        let mut large = GrayImage::from_pixel(4_000, 3_000, Luma([230]));
        imageops::replace(
            &mut large,
            &imageops::resize(&code, 2_500, 2_500, imageops::FilterType::Triangle),
            900,
            200,
        );
        check("on a large photograph", jpeg(&large, 85));
        let mut clear = image::RgbaImage::new(code.width(), code.height());
        for (x, y, pixel) in clear.enumerate_pixels_mut() {
            let dark = code.get_pixel(x, y).0[0] == 0;
            *pixel = image::Rgba([0, 0, 0, if dark { 255 } else { 0 }]);
        }
        check("black on nothing", png(&clear.into()));
    }

    #[test]
    fn what_is_not_one_licence_is_refused() {
        let check =
            |picture: &[u8], code: &str| assert_eq!(read_code(picture), Err(code.to_owned()));
        let of = |text: &str| png(&drawn(text).into());
        check(&of("https://pay.example/?to=someone"), "foreign_code");
        check(&of("WIFI:S:net;P:secret;;"), "foreign_code");
        check(&of("\u{1b}[2J"), "foreign_code");
        check(&of("elc1:abc"), "foreign_code");
        let mut two = GrayImage::from_pixel(2_000, 1_000, Luma([255]));
        imageops::replace(&mut two, &drawn(&text()), 10, 10);
        imageops::replace(&mut two, &drawn("https://x.example"), 1_200, 10);
        check(&png(&two.into()), "several_codes");
        check(&png(&GrayImage::from_pixel(300, 300, Luma([255])).into()), "no_code");
        let noise = GrayImage::from_fn(64, 64, |x, y| {
            Luma([((x * 7_919) ^ (y * 104_729)).to_le_bytes()[0]])
        });
        check(&png(&noise.into()), "no_code");
        let whole = of(&text());
        check(&whole[..whole.len() / 2], "bad_picture");
        check(&png(&GrayImage::new(20, 300).into()), "bad_picture");
        check(&png(&GrayImage::new(5_100, 5_100).into()), "picture_too_large");
        check(b"GIF89a", "picture_form");
        check(b"<svg xmlns=", "picture_form");
    }

    /// A code of somebody else's is not repeated: it may be personal, or made to be shown.
    #[test]
    fn nothing_of_a_foreign_code_is_said() {
        let failure =
            read(&png(&drawn("https://pay.example/ZHANG?x=\u{1b}[31m").into())).unwrap_err();
        let said = format!("{} {}", failure.message, failure.hint);
        assert!(
            !said.contains("ZHANG") && !said.contains('\u{1b}') && !said.contains("pay"),
            "{said}"
        );
    }

    #[test]
    fn a_licence_as_plain_text_is_a_licence_too() {
        assert_eq!(licence(" ELC1:AB ").ok().as_deref(), Some("ELC1:AB"));
        assert_eq!(licence("a~b").unwrap_err().code, "foreign_code");
    }

    #[test]
    fn pictures_are_told_by_what_they_begin_with() {
        for (bytes, expected) in [
            (b"\x89PNG\r\n\x1a\n".as_slice(), Some("PNG")),
            (b"\xff\xd8\xff\xe0", Some("JPEG")),
            (b"\0\0\0\x18ftypheic", Some("HEIC")),
            (b" <?xml", Some("SVG or HTML")),
            (b"ELC1:6BF", None),
            (b"eyJhbGciOi", None),
            (b"", None),
        ] {
            assert_eq!(form(bytes), expected, "{bytes:?}");
        }
    }
}
