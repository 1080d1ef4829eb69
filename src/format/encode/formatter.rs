//! Finds out, while a record is serialized, whether its line can be other than an accepted record. Never writes
//! anything but what `serde_json`'s compact format writes.
//!
//! What `serde_json` serializes is valid and in range by itself, with few exceptions: a `RawValue` (or a number kept as
//! text) is copied unchecked, a type can nest too deep, and a `Serialize` can misuse the serializer (it ignores the
//! error of an element, or passes a private struct without a field) so that a value is missing. Checking every line
//! would cost more than serializing it. So these cases are noticed here, and only such a line is checked.

use std::io;

use serde_json::ser::{CompactFormatter, Formatter};

use crate::format::validate::NESTING_LEVELS_MAX;

/// What must come next, or be completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Value,
    Key,
    Colon,
    /// The next element or member, or the end of what contains the value.
    Any,
}

/// What is known about the line so far.
#[derive(Debug)]
pub(super) struct Watched {
    next: Next,
    levels: u32,
    needs_check: bool,
}

impl Default for Watched {
    fn default() -> Self {
        Self { next: Next::Value, levels: 0, needs_check: false }
    }
}

impl Watched {
    /// `false`: the line may be valid, and must be checked.
    pub(super) fn is_valid(&self) -> bool {
        !self.needs_check && self.levels == 0 && self.next == Next::Any
    }

    // A branch that is never taken: faster than to add each condition to `needs_check`.
    #[inline]
    fn expect(&mut self, next: Next) {
        if self.next != next {
            self.note();
        }
    }

    #[cold]
    fn note(&mut self) {
        self.needs_check = true;
    }

    #[inline]
    fn open(&mut self) {
        self.next = Next::Any;
        self.levels += 1;
        if self.levels > NESTING_LEVELS_MAX {
            self.note();
        }
    }

    #[inline]
    fn close(&mut self) {
        self.expect(Next::Any);
        self.levels = self.levels.wrapping_sub(1);
    }
}

/// The compact format.
#[derive(Debug)]
pub(super) struct Watch<'a>(pub(super) &'a mut Watched);

macro_rules! values {
    ($($write:ident: $number:ty,)*) => {
        $(
            #[inline]
            fn $write<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: $number) -> io::Result<()> {
                self.0.next = Next::Any;
                CompactFormatter.$write(writer, value)
            }
        )*
    };
}

impl Formatter for Watch<'_> {
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
        self.0.next = Next::Any;
        CompactFormatter.write_null(writer)
    }

    fn write_number_str<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: &str) -> io::Result<()> {
        self.0.next = Next::Any;
        self.0.needs_check = true;
        CompactFormatter.write_number_str(writer, value)
    }

    fn write_raw_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        self.0.next = Next::Any;
        self.0.needs_check = true;
        CompactFormatter.write_raw_fragment(writer, fragment)
    }

    #[inline]
    fn end_string<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.next = Next::Any;
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
        self.0.expect(Next::Any);
        self.0.next = Next::Value;
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
        self.0.expect(Next::Any);
        self.0.next = Next::Key;
        CompactFormatter.begin_object_key(writer, first)
    }

    #[inline]
    fn end_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.next = Next::Colon;
        CompactFormatter.end_object_key(writer)
    }

    #[inline]
    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.expect(Next::Colon);
        self.0.next = Next::Value;
        CompactFormatter.begin_object_value(writer)
    }
}
