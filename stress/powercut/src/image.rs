//! A disk in memory: pages, of which those never written take no room. Cheap to clone.

use std::sync::Arc;

/// What a page holds, in bytes.
pub(crate) const PAGE_BYTES: usize = 4096;

/// The bytes of a page.
pub(crate) type Page = [u8; PAGE_BYTES];

/// What a page that was never written reads as.
pub(crate) const ZERO_PAGE: Page = [0; PAGE_BYTES];

/// The whole disk.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    pages: Vec<Option<Arc<Page>>>,
}

impl Image {
    /// An empty disk. The size is rounded up to whole pages.
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

    /// The pages that were written, with their indexes.
    pub(crate) fn written(&self) -> impl Iterator<Item = (usize, &Page)> {
        self.pages.iter().enumerate().filter_map(|(index, page)| Some((index, page.as_deref()?)))
    }

    /// Writes what lies inside the disk; says whether that was everything.
    pub(crate) fn write(&mut self, offset: u64, data: &[u8]) -> bool {
        let Ok(mut at) = usize::try_from(offset) else { return false };
        let mut rest = data;
        while !rest.is_empty() {
            let Some(page) = self.pages.get_mut(at / PAGE_BYTES) else { return false };
            let from = at % PAGE_BYTES;
            let (now, later) = rest.split_at(rest.len().min(PAGE_BYTES - from));
            let page = Arc::make_mut(page.get_or_insert_with(|| Arc::new(ZERO_PAGE)));
            page[from..from + now.len()].copy_from_slice(now);
            at += now.len();
            rest = later;
        }
        true
    }

    /// Up to `bytes` bytes from `offset`; less at the end of the disk.
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
    fn what_was_written_is_read_across_pages() {
        let mut image = Image::new(3 * PAGE_BYTES as u64);
        let data: Vec<u8> = (0..6000_u32).map(|i| (i % 251) as u8).collect();
        assert!(image.write(1000, &data));
        assert_eq!(image.read(1000, 6000), data);
        assert_eq!(image.read(0, 1000), vec![0; 1000]);
        assert_eq!(image.written().count(), 2);
    }

    #[test]
    fn a_clone_keeps_what_it_had() {
        let mut image = Image::new(PAGE_BYTES as u64);
        image.write(0, b"old");
        let before = image.clone();
        image.write(0, b"new");
        assert_eq!(before.read(0, 3), b"old");
        assert_eq!(image.read(0, 3), b"new");
    }

    #[test]
    fn a_write_beyond_the_end_is_refused() {
        let mut image = Image::new(PAGE_BYTES as u64);
        assert!(!image.write(PAGE_BYTES as u64 - 1, b"ab"));
        assert_eq!(image.read(PAGE_BYTES as u64 - 1, 10), b"a");
    }
}
