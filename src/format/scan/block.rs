//! A block: the values of many verified lines in one buffer, each with its offset in the file.

use std::ops::Range;

/// Consecutive lines that are only values: none is empty or ends in white space, so none has a seal or padding.
#[derive(Debug)]
pub(crate) struct ValueRun<'a> {
    /// The lines, with the LFs between them.
    pub(crate) bytes: &'a [u8],
    /// The offset of the first line in the file.
    pub(crate) offset: u64,
    /// The end of each line in `bytes`.
    pub(crate) ends: &'a [usize],
}

/// One line in a [`Block`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Span {
    /// The range of its value in the bytes of the block.
    pub(crate) value: Range<usize>,
    /// Its offset in the file.
    pub(crate) offset: u64,
}

/// Consecutive records of one segment.
#[derive(Debug, Default)]
pub(crate) struct Block {
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

impl Block {
    pub(crate) fn push(&mut self, value: &[u8], offset: u64) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.spans.push(Span { value: start..self.bytes.len(), offset });
    }

    /// Appends a run of values at once.
    pub(crate) fn push_values(&mut self, values: &ValueRun<'_>) {
        let base = self.bytes.len();
        self.bytes.extend_from_slice(values.bytes);
        let mut from = 0;
        self.spans.extend(values.ends.iter().map(|&end| {
            let span = Span { value: base + from..base + end, offset: values.offset + from as u64 };
            from = end + 1;
            span
        }));
    }

    /// Removes all lines except for the first `lines`.
    pub(crate) fn truncate(&mut self, lines: usize) {
        self.spans.truncate(lines);
        self.bytes.truncate(self.spans.last().map_or(0, |span| span.value.end));
    }

    pub(crate) fn clear(&mut self) {
        self.truncate(0);
    }

    /// Returns the number of lines in the block.
    pub(crate) fn len(&self) -> usize {
        self.spans.len()
    }

    /// Returns the bytes of the values in the block, with the LFs between some of them.
    pub(crate) fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn span(&self, index: usize) -> Option<&Span> {
        self.spans.get(index)
    }

    pub(crate) fn value(&self, span: &Span) -> &[u8] {
        &self.bytes[span.value.clone()]
    }
}
