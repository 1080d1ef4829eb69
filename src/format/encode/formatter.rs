//! Detects, while a record is serialized, whether its line may be invalid. The output is exactly that of the compact format of
//! `serde_json`.
//!
//! A line that `serde_json` serializes is valid and in range, with few exceptions: a `RawValue` (or a number stored as text) is
//! copied unchecked, a type can nest too deep, and a `Serialize` implementation can misuse the serializer (ignore the error of an
//! element, or pass a private struct without a field) so that a value is missing. A check of every line would take longer than its
//! serialization, so these cases are detected here, and only such lines are checked.

use std::io;

use serde_json::ser::{CompactFormatter, Formatter};

use crate::format::validate::NESTING_LEVELS_MAX;

/// The next token that valid JSON requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NextToken {
    Value,
    Key,
    Colon,
    /// The next element or member, or the end of the array or object around it.
    Any,
}

/// The state of a line during its serialization.
#[derive(Debug)]
pub(super) struct LineState {
    next: NextToken,
    levels: u32,
    needs_check: bool,
}

impl Default for LineState {
    fn default() -> Self {
        Self { next: NextToken::Value, levels: 0, needs_check: false }
    }
}

impl LineState {
    /// Returns whether the line is certainly valid. Any other line must be checked.
    pub(super) fn is_valid(&self) -> bool {
        !self.needs_check && self.levels == 0 && self.next == NextToken::Any
    }

    // A branch that is almost never taken is faster than merging each condition into `needs_check`.
    #[inline]
    fn expect(&mut self, next: NextToken) {
        if self.next != next {
            self.require_check();
        }
    }

    #[cold]
    fn require_check(&mut self) {
        self.needs_check = true;
    }

    #[inline]
    fn open(&mut self) {
        self.next = NextToken::Any;
        self.levels += 1;
        if self.levels > NESTING_LEVELS_MAX {
            self.require_check();
        }
    }

    #[inline]
    fn close(&mut self) {
        self.expect(NextToken::Any);
        self.levels = self.levels.wrapping_sub(1);
    }
}

/// The compact format of `serde_json`, which records the state of the line.
#[derive(Debug)]
pub(super) struct TrackingFormatter<'a>(pub(super) &'a mut LineState);

macro_rules! values {
    ($($write:ident: $number:ty,)*) => {
        $(
            #[inline]
            fn $write<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: $number) -> io::Result<()> {
                self.0.next = NextToken::Any;
                CompactFormatter.$write(writer, value)
            }
        )*
    };
}

impl Formatter for TrackingFormatter<'_> {
    values! {
        write_bool: bool,
        write_i8: i8,
        write_i16: i16,
        write_i32: i32,
        write_i64: i64,
        write_i128: i128,
        write_u8: u8,
        write_u16: u16,
        write_u32: u32,
        write_u64: u64,
        write_u128: u128,
        write_f32: f32,
        write_f64: f64,
    }

    #[inline]
    fn write_null<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.next = NextToken::Any;
        CompactFormatter.write_null(writer)
    }

    fn write_number_str<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: &str) -> io::Result<()> {
        self.0.next = NextToken::Any;
        self.0.needs_check = true;
        CompactFormatter.write_number_str(writer, value)
    }

    fn write_raw_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        self.0.next = NextToken::Any;
        self.0.needs_check = true;
        CompactFormatter.write_raw_fragment(writer, fragment)
    }

    #[inline]
    fn end_string<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.next = NextToken::Any;
        CompactFormatter.end_string(writer)
    }

    #[inline]
    fn begin_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.open();
        CompactFormatter.begin_array(writer)
    }

    #[inline]
    fn end_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.close();
        CompactFormatter.end_array(writer)
    }

    #[inline]
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.expect(NextToken::Any);
        self.0.next = NextToken::Value;
        CompactFormatter.begin_array_value(writer, first)
    }

    #[inline]
    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.open();
        CompactFormatter.begin_object(writer)
    }

    #[inline]
    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.close();
        CompactFormatter.end_object(writer)
    }

    #[inline]
    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.expect(NextToken::Any);
        self.0.next = NextToken::Key;
        CompactFormatter.begin_object_key(writer, first)
    }

    #[inline]
    fn end_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.next = NextToken::Colon;
        CompactFormatter.end_object_key(writer)
    }

    #[inline]
    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.expect(NextToken::Colon);
        self.0.next = NextToken::Value;
        CompactFormatter.begin_object_value(writer)
    }
}
