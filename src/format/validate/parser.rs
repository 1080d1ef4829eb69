//! The parser of the check.

use std::borrow::Cow;

use super::{CheckResult, RESERVED_KEYS, Rejection};
use crate::format::LF;

/// Numbers with at most this many digits in the integer part, and in the exponent, are below 1e300; longer ones are converted to
/// find out whether they are in range.
const SHORT_INTEGER_DIGITS: usize = 200;
const SHORT_EXPONENT_DIGITS: usize = 2;

/// A JSON parser that keeps no values.
pub(super) struct Parser<'a> {
    json: &'a [u8],
    /// The offset of the next byte.
    at: usize,
}

/// The range of a string literal, without its quotes.
struct StringSpan {
    start: usize,
    end: usize,
    has_escapes: bool,
}

impl<'a> Parser<'a> {
    pub(super) fn new(json: &'a [u8]) -> Self {
        Self { json, at: 0 }
    }

    /// Parses the whole text as one value. `levels_max` is the most arrays and objects that can be open at the same time.
    pub(super) fn parse(mut self, levels_max: u32) -> CheckResult<()> {
        self.value(levels_max)?;
        if self.at < self.json.len() {
            return Err(self.rejected("trailing characters"));
        }
        Ok(())
    }

    /// Parses a value. Iterative, so that no input overflows the stack.
    fn value(&mut self, levels_max: u32) -> CheckResult<()> {
        // The open arrays and objects, the innermost in the lowest bit: 1 for an object.
        let (mut open, mut levels) = (0_u128, 0_u32);
        loop {
            let byte = self.next_token("EOF while parsing a value")?;
            match byte {
                b'"' => {
                    self.at += 1;
                    self.string()?;
                }
                b'-' | b'0'..=b'9' => self.number()?,
                b'{' | b'[' => {
                    if levels == levels_max {
                        return Err(self.rejected(format!("nested deeper than {levels_max} levels")));
                    }
                    self.at += 1;
                    let is_object = byte == b'{';
                    (open, levels) = (open << 1 | u128::from(is_object), levels + 1);
                    let next = self.next_token(end_inside(is_object))?;
                    if next != closing(is_object) {
                        if is_object {
                            self.key(true)?;
                        }
                        continue;
                    }
                    self.at += 1;
                    (open, levels) = (open >> 1, levels - 1);
                }
                b't' => self.literal(b"true")?,
                b'f' => self.literal(b"false")?,
                b'n' => self.literal(b"null")?,
                _ => return Err(self.rejected("expected value")),
            }
            // The value ends, and possibly the arrays and objects around it.
            loop {
                if levels == 0 {
                    self.white_space()?;
                    return Ok(());
                }
                let is_object = open & 1 == 1;
                let next = self.next_token(end_inside(is_object))?;
                if next == b',' {
                    self.at += 1;
                    if is_object {
                        self.next_token(end_inside(true))?;
                        self.key(false)?;
                    }
                    break;
                }
                if next != closing(is_object) {
                    let reason = if is_object { "expected `,` or `}`" } else { "expected `,` or `]`" };
                    return Err(self.rejected(reason));
                }
                self.at += 1;
                (open, levels) = (open >> 1, levels - 1);
            }
        }
    }

    /// Parses a key and its colon; the key starts at the next byte.
    fn key(&mut self, is_first: bool) -> CheckResult<()> {
        let start = self.at;
        if self.json.get(start) != Some(&b'"') {
            return Err(self.rejected("key must be a string"));
        }
        self.at += 1;
        let text = self.string()?;
        if is_first && self.is_reserved(&text) {
            self.at = start;
            return Err(self.rejected("a first key that serde_json reserves for itself"));
        }
        if self.next_token(end_inside(true))? != b':' {
            return Err(self.rejected("expected `:`"));
        }
        self.at += 1;
        Ok(())
    }

    fn is_reserved(&self, text: &StringSpan) -> bool {
        let StringSpan { start, end, has_escapes } = *text;
        let key = &self.json[start..end];
        if !has_escapes {
            return key.first() == Some(&b'$') && RESERVED_KEYS.iter().any(|name| name.as_bytes() == key);
        }
        serde_json::from_slice::<String>(&self.json[start - 1..=end])
            .is_ok_and(|key| RESERVED_KEYS.contains(&&*key))
    }

    /// Parses a string after its opening quote.
    fn string(&mut self) -> CheckResult<StringSpan> {
        let start = self.at;
        let mut has_escapes = false;
        loop {
            self.skip_plain_text();
            match self.json.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(StringSpan { start, end: self.at - 1, has_escapes });
                }
                Some(b'\\') => {
                    has_escapes = true;
                    self.escape()?;
                }
                Some(&LF) => return Err(self.rejected("a line feed inside the value")),
                Some(_) => return Err(self.rejected("a control character inside a string")),
                None => return Err(self.ended("EOF while parsing a string")),
            }
        }
    }

    /// Skips to the next quote, backslash or control character, or to the end.
    fn skip_plain_text(&mut self) {
        const ONES: u64 = u64::from_ne_bytes([1; 8]);
        const HIGH: u64 = ONES << 7;
        let rest = &self.json[self.at..];
        let (words, tail) = rest.as_chunks::<8>();
        for (index, word) in words.iter().enumerate() {
            let word = u64::from_le_bytes(*word);
            let (quote, backslash) = (word ^ (ONES * 0x22), word ^ (ONES * 0x5C));
            // Exact up to the first match, and only that one is used (Mycroft's test for a zero byte).
            let found = (word.wrapping_sub(ONES * 0x20) & !word)
                | (quote.wrapping_sub(ONES) & !quote)
                | (backslash.wrapping_sub(ONES) & !backslash);
            let found = found & HIGH;
            if found != 0 {
                self.at += index * 8 + (found.trailing_zeros() / 8) as usize;
                return;
            }
        }
        let in_tail = tail.iter().position(|&byte| byte < 0x20 || byte == b'"' || byte == b'\\');
        self.at += words.len() * 8 + in_tail.unwrap_or(tail.len());
    }

    /// Parses an escape; the backslash is the next byte.
    fn escape(&mut self) -> CheckResult<()> {
        match self.json.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 2;
                Ok(())
            }
            Some(b'u') => {
                let unit = self.code_unit()?;
                self.at += 6;
                match unit {
                    0xD800..=0xDBFF => {
                        let next = self.json.get(self.at..).unwrap_or_default();
                        let is_pair =
                            next.starts_with(b"\\u") && matches!(self.code_unit()?, 0xDC00..=0xDFFF);
                        if !is_pair {
                            self.at -= 6;
                            return Err(self.rejected("a lone surrogate in a string"));
                        }
                        self.at += 6;
                        Ok(())
                    }
                    0xDC00..=0xDFFF => {
                        self.at -= 6;
                        Err(self.rejected("a lone surrogate in a string"))
                    }
                    _ => Ok(()),
                }
            }
            Some(_) => {
                self.at += 1;
                Err(self.rejected("invalid escape"))
            }
            None => Err(self.ended("EOF while parsing a string")),
        }
    }

    /// Returns the UTF-16 code unit of the escape `\uXXXX` at the next byte.
    fn code_unit(&self) -> CheckResult<u32> {
        let mut unit = 0;
        for index in self.at + 2..self.at + 6 {
            let Some(&byte) = self.json.get(index) else {
                return Err(self.ended("EOF while parsing a string"));
            };
            let Some(digit) = char::from(byte).to_digit(16) else {
                return Err(Rejection { offset: index, reason: "invalid escape".into() });
            };
            unit = unit << 4 | digit;
        }
        Ok(unit)
    }

    fn number(&mut self) -> CheckResult<()> {
        let start = self.at;
        if self.json[start] == b'-' {
            self.at += 1;
        }
        let integer = self.at;
        match self.json.get(integer) {
            Some(b'0') => {
                self.at += 1;
                if self.json.get(self.at).is_some_and(u8::is_ascii_digit) {
                    return Err(self.rejected("invalid number"));
                }
            }
            _ => self.digits()?,
        }
        let integer_digits = self.at - integer;
        if self.json.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        let mut exponent_digits = 0;
        if let Some(b'e' | b'E') = self.json.get(self.at) {
            self.at += 1;
            if let Some(b'+' | b'-') = self.json.get(self.at) {
                self.at += 1;
            }
            let exponent = self.at;
            self.digits()?;
            exponent_digits = self.at - exponent;
        }
        if integer_digits <= SHORT_INTEGER_DIGITS && exponent_digits <= SHORT_EXPONENT_DIGITS
            || is_in_range(&self.json[start..self.at])
        {
            return Ok(());
        }
        self.at = start;
        Err(self.rejected("number out of range"))
    }

    /// Parses one digit or more.
    fn digits(&mut self) -> CheckResult<()> {
        let start = self.at;
        while self.json.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        if self.at > start {
            return Ok(());
        }
        match self.at < self.json.len() {
            true => Err(self.rejected("invalid number")),
            false => Err(self.ended("EOF while parsing a value")),
        }
    }

    fn literal(&mut self, word: &[u8]) -> CheckResult<()> {
        for &byte in word {
            match self.json.get(self.at) {
                Some(&found) if found == byte => self.at += 1,
                Some(_) => return Err(self.rejected("expected ident")),
                None => return Err(self.ended("EOF while parsing a value")),
            }
        }
        Ok(())
    }

    /// Skips white space; returns the byte that follows, which is not consumed.
    fn next_token(&mut self, at_end: &'static str) -> CheckResult<u8> {
        match self.json.get(self.at) {
            Some(&byte) if byte > b' ' => return Ok(byte),
            _ => self.white_space()?,
        }
        self.json.get(self.at).copied().ok_or_else(|| self.ended(at_end))
    }

    fn white_space(&mut self) -> CheckResult<()> {
        while let Some(b' ' | b'\t' | b'\r') = self.json.get(self.at) {
            self.at += 1;
        }
        match self.json.get(self.at) {
            Some(&LF) => Err(self.rejected("a line feed inside the value")),
            _ => Ok(()),
        }
    }

    #[cold]
    fn rejected(&self, reason: impl Into<Cow<'static, str>>) -> Rejection {
        Rejection { offset: self.at, reason: reason.into() }
    }

    #[cold]
    fn ended(&self, reason: &'static str) -> Rejection {
        Rejection { offset: self.json.len() - 1, reason: reason.into() }
    }
}

fn closing(is_object: bool) -> u8 {
    if is_object { b'}' } else { b']' }
}

fn end_inside(is_object: bool) -> &'static str {
    if is_object { "EOF while parsing an object" } else { "EOF while parsing a list" }
}

/// Returns whether a number is finite as an `f64`, both correctly rounded, as by most parsers, and as computed by `serde_json`, whose
/// result can differ in the last place.
fn is_in_range(number: &[u8]) -> bool {
    let rounded = std::str::from_utf8(number).ok().and_then(|number| number.parse::<f64>().ok());
    rounded.is_some_and(f64::is_finite) && serde_json::from_slice::<f64>(number).is_ok()
}
