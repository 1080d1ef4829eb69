//! A sparse disk image in memory. Cloning is cheap, because clones share pages.

use std::sync::Arc;

/// The size of a page.
pub(crate) const PAGE_BYTES: usize = 4096;

/// The bytes of a page.
pub(crate) type Page = [u8; PAGE_BYTES];

/// The contents of a page that was never written.
pub(crate) const ZERO_PAGE: Page = [0; PAGE_BYTES];

/// A disk image.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    pages: Vec<Option<Arc<Page>>>,
}

impl Image {
    /// Creates an empty disk. The size is rounded up to whole pages.
    pub(crate) fn new(bytes: u64) -> Self {
        let pages = usize::try_from(bytes).unwrap_or(usize::MAX).div_ceil(PAGE_BYTES);
        Self { pages: vec![None; pages] }
    }

    pub(crate) fn bytes(&self) -> u64 {
        (self.pages.len() * PAGE_BYTES) as u64
    }

    pub(crate) fn page(&self, index: usize) -> &Page {
        self.pages.get(index).and_then(|page| page.as_deref()).unwrap_or(&ZERO_PAGE)
    }

    pub(crate) fn page_count(&self) -> usize {
        self.pages.len()
    }

    /// Returns the pages that were written, with their indexes.
    pub(crate) fn written(&self) -> impl Iterator<Item = (usize, &Page)> {
        self.pages.iter().enumerate().filter_map(|(index, page)| Some((index, page.as_deref()?)))
    }

    /// Writes the part of `data` that lies within the disk. Returns `false` if some of it did not.
    pub(crate) fn write(&mut self, offset: u64, data: &[u8]) -> bool {
        let Ok(mut at) = usize::try_from(offset) else { return false };
        let mut rest = data;
        while !rest.is_empty() {
            let Some(page) = self.pages.get_mut(at / PAGE_BYTES) else { return false };
            let from = at % PAGE_BYTES;
            let (head, tail) = rest.split_at(rest.len().min(PAGE_BYTES - from));
            let page = Arc::make_mut(page.get_or_insert_with(|| Arc::new(ZERO_PAGE)));
            page[from..from + head.len()].copy_from_slice(head);
            at += head.len();
            rest = tail;
        }
        true
    }

    /// Reads up to `bytes` bytes from `offset`, fewer at the end of the disk.
    pub(crate) fn read(&self, offset: u64, bytes: usize) -> Vec<u8> {
        let mut found = Vec::with_capacity(bytes);
        let Ok(mut at) = usize::try_from(offset) else { return found };
        while found.len() < bytes && at / PAGE_BYTES < self.pages.len() {
            let page = self.page(at / PAGE_BYTES);
            let from = at % PAGE_BYTES;
            let to = PAGE_BYTES.min(from + bytes - found.len());
            found.extend_from_slice(&page[from..to]);
            at += to - from;
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn write_across_pages_reads_back() {
        let mut image = Image::new(3 * PAGE_BYTES as u64);
        let data: Vec<u8> = (0..6000_u32).map(|i| (i % 251) as u8).collect();
        assert!(image.write(1000, &data));
        assert_eq!(image.read(1000, 6000), data);
        assert_eq!(image.read(0, 1000), vec![0; 1000]);
        assert_eq!(image.written().count(), 2);
    }

    #[test]
    fn clone_keeps_its_contents() {
        let mut image = Image::new(PAGE_BYTES as u64);
        image.write(0, b"old");
        let before = image.clone();
        image.write(0, b"new");
        assert_eq!(before.read(0, 3), b"old");
        assert_eq!(image.read(0, 3), b"new");
    }

    #[test]
    fn write_beyond_the_end_is_rejected() {
        let mut image = Image::new(PAGE_BYTES as u64);
        assert!(!image.write(PAGE_BYTES as u64 - 1, b"ab"));
        assert_eq!(image.read(PAGE_BYTES as u64 - 1, 10), b"a");
    }
}
