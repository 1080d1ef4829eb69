//! The contents of a file or of a disk: sparse, in memory. Cloning is cheap, because clones share pages.

use std::{fs::File, io, os::unix::fs::FileExt, sync::Arc};

use rustix::{fs::SeekFrom, io::Errno};

pub const PAGE_BYTES: usize = 4096;

pub type Page = [u8; PAGE_BYTES];

const ZERO_PAGE: Page = [0; PAGE_BYTES];

#[derive(Debug, Clone, Default)]
pub struct Image {
    pages: Vec<Option<Arc<Page>>>,
    /// The bytes of the last page after this length are zeros.
    len: u64,
}

impl Image {
    #[must_use]
    pub fn new(len: u64) -> Self {
        let mut image = Self::default();
        image.set_len(len);
        image
    }

    pub fn load(file: &File) -> io::Result<Self> {
        let mut image = Self::new(file.metadata()?.len());
        for index in image.indexes_with_data(file)? {
            let page = Arc::new(image.read_page(file, index)?);
            image.pages[index] = Some(page);
        }
        Ok(image)
    }

    /// Makes the contents of `file` equal to this image. Writes only the pages that differ.
    pub fn store(&self, file: &File) -> io::Result<()> {
        let indexes = self.indexes_with_data(file)?;
        file.set_len(self.len)?;
        let mut is_in_file = vec![false; self.pages.len()];
        for index in indexes {
            is_in_file[index] = true;
            if self.read_page(file, index)? != *self.page(index) {
                self.write_page(file, index)?;
            }
        }
        let missing = self.written().filter(|(index, _)| !is_in_file[*index]);
        missing.map(|(index, _)| index).try_for_each(|index| self.write_page(file, index))
    }

    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the pages that were written, with their indexes.
    pub fn written(&self) -> impl Iterator<Item = (usize, &Page)> {
        self.pages.iter().enumerate().filter_map(|(index, page)| Some((index, page.as_deref()?)))
    }

    /// Writes at any offset; the file grows if needed.
    pub fn write(&mut self, offset: u64, data: &[u8]) {
        self.set_len(self.len.max(offset + data.len() as u64));
        let (mut at, mut rest) = (offset as usize, data);
        while !rest.is_empty() {
            let from = at % PAGE_BYTES;
            let (head, tail) = rest.split_at(rest.len().min(PAGE_BYTES - from));
            let page = self.pages[at / PAGE_BYTES].get_or_insert_with(|| Arc::new(ZERO_PAGE));
            Arc::make_mut(page)[from..from + head.len()].copy_from_slice(head);
            at += head.len();
            rest = tail;
        }
    }

    /// Truncates the file, or extends it with zeros.
    pub fn set_len(&mut self, len: u64) {
        let (pages, in_last) = ((len as usize).div_ceil(PAGE_BYTES), len as usize % PAGE_BYTES);
        self.pages.resize(pages, None);
        if len < self.len
            && in_last > 0
            && let Some(Some(last)) = self.pages.last_mut()
        {
            Arc::make_mut(last)[in_last..].fill(0);
        }
        self.len = len;
    }

    /// Reads `bytes` bytes from `offset`, fewer at the end of the file.
    #[must_use]
    pub fn read(&self, offset: u64, bytes: usize) -> Vec<u8> {
        let end = (self.len as usize).min(offset as usize + bytes);
        let bytes = |at| self.page(at / PAGE_BYTES)[at % PAGE_BYTES];
        (offset as usize..end).map(bytes).collect()
    }

    fn page(&self, index: usize) -> &Page {
        self.pages.get(index).and_then(|page| page.as_deref()).unwrap_or(&ZERO_PAGE)
    }

    /// Returns the number of bytes of a page that are inside the file.
    fn bytes_in_page(&self, index: usize) -> usize {
        PAGE_BYTES.min(self.len as usize - index * PAGE_BYTES)
    }

    fn read_page(&self, file: &File, index: usize) -> io::Result<Page> {
        let mut page = ZERO_PAGE;
        file.read_exact_at(&mut page[..self.bytes_in_page(index)], (index * PAGE_BYTES) as u64)?;
        Ok(page)
    }

    fn write_page(&self, file: &File, index: usize) -> io::Result<()> {
        file.write_all_at(&self.page(index)[..self.bytes_in_page(index)], (index * PAGE_BYTES) as u64)
    }

    /// Returns the pages of this image that are no holes in `file`.
    fn indexes_with_data(&self, file: &File) -> io::Result<Vec<usize>> {
        let mut indexes = Vec::new();
        let mut at = 0;
        loop {
            let from = match rustix::fs::seek(file, SeekFrom::Data(at)) {
                Ok(from) => from,
                Err(Errno::NXIO) => break,
                Err(error) => return Err(error.into()),
            };
            at = rustix::fs::seek(file, SeekFrom::Hole(from))?;
            let first = (from as usize / PAGE_BYTES).max(indexes.last().map_or(0, |last| last + 1));
            indexes.extend(first..(at as usize).div_ceil(PAGE_BYTES));
        }
        indexes.retain(|index| *index < self.pages.len());
        Ok(indexes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn write_across_pages_reads_back() {
        let mut image = Image::new(3 * PAGE_BYTES as u64);
        let data: Vec<u8> = (0..6000_u32).map(|i| (i % 251) as u8).collect();
        image.write(1000, &data);
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
    fn truncated_bytes_are_zeros_after_growth() {
        let mut image = Image::default();
        image.write(4090, b"0123456789");
        assert_eq!(image.len(), 4100);
        image.set_len(4092);
        image.write(4097, b"x");
        assert_eq!(image.read(4088, 100), b"\0\x0001\0\0\0\0\0x");
    }

    #[test]
    fn stored_image_loads_unchanged() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&[7; 30_000], 100_000).unwrap();
        let mut image = Image::new(200_000);
        for (offset, data) in [(3, b"near"), (111_000, b"here"), (199_996, b"last")] {
            image.write(offset, data);
            image.store(&file).unwrap();
            let loaded = Image::load(&file).unwrap();
            assert_eq!(loaded.read(0, 300_000), image.read(0, 300_000));
        }
    }
}
