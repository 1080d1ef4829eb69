use super::*;

fn write(offset: u64, byte: u8, bytes: usize) -> Event {
    Event::Write { offset, data: vec![byte; bytes] }
}

fn recording() -> Recording {
    let events = vec![
        write(0, 1, 4096),
        Event::Sync,
        Event::Marker("acked".into()),
        write(0, 2, 8192),
        write(512, 3, 512),
        Event::Sync,
        write(4096, 4, 512),
    ];
    Recording { base: Image::new(1 << 16), events }
}

fn sector(image: &Image, number: u64) -> u8 {
    let bytes = image.read(number * 512, 512);
    assert!(bytes.iter().all(|byte| *byte == bytes[0]), "a torn sector");
    bytes[0]
}

fn crash(at: usize, kept: KeptWrites) -> Crash {
    Crash { at, kept, flushes_ignored: 0 }
}

#[test]
fn flushed_writes_are_kept_pending_ones_may_be() {
    let recording = recording();
    let mut builder = ImageBuilder::new(&recording);
    let nothing = builder.image(crash(5, KeptWrites::Nothing));
    assert_eq!([sector(&nothing, 0), sector(&nothing, 1), sector(&nothing, 8)], [1, 1, 0]);
    let everything = builder.image(crash(5, KeptWrites::Everything));
    assert_eq!([sector(&everything, 0), sector(&everything, 1), sector(&everything, 8)], [2, 3, 2]);
    let flushed = builder.image(crash(7, KeptWrites::Nothing));
    assert_eq!([sector(&flushed, 1), sector(&flushed, 8)], [3, 2]);
}

#[test]
fn builder_accepts_an_earlier_crash_point() {
    let recording = recording();
    let mut builder = ImageBuilder::new(&recording);
    assert_eq!(sector(&builder.image(crash(7, KeptWrites::Everything)), 8), 4);
    assert_eq!(sector(&builder.image(crash(1, KeptWrites::Nothing)), 0), 0);
}

#[test]
fn write_is_torn_in_every_combination_of_sectors() {
    let recording = recording();
    let mut builder = ImageBuilder::new(&recording);
    let mut seen = HashSet::new();
    for seed in 0..2000 {
        let image = builder.image(crash(5, KeptWrites::Some { unit_bytes: 512, percent: 50, seed }));
        let states = [0, 1, 15].map(|number| sector(&image, number));
        assert!([1, 2].contains(&states[0]) && [1, 2, 3].contains(&states[1]) && [0, 2].contains(&states[2]));
        seen.insert(states);
    }
    assert_eq!(seen.len(), 2 * 3 * 2, "every combination of new, old and unwritten sectors");
}

#[test]
fn units_of_4096_bytes_are_atomic() {
    let recording = recording();
    let mut builder = ImageBuilder::new(&recording);
    for seed in 0..100 {
        let image = builder.image(crash(4, KeptWrites::Some { unit_bytes: 4096, percent: 50, seed }));
        for page in 0..2 {
            let states: HashSet<u8> = (0..8).map(|number| sector(&image, page * 8 + number)).collect();
            assert_eq!(states.len(), 1, "seed {seed}, page {page}");
        }
    }
}

#[test]
fn only_units_smaller_than_a_block_tear_blocks() {
    let tears = |unit_bytes| tears_blocks(KeptWrites::Some { unit_bytes, percent: 50, seed: 0 });
    assert_eq!([512, 4096, 0].map(tears), [true, false, false]);
    assert!(!tears_blocks(KeptWrites::Nothing) && !tears_blocks(KeptWrites::Everything));
}

#[test]
fn ignored_flush_makes_older_writes_pending() {
    let recording = recording();
    let lying = Crash { at: 7, kept: KeptWrites::Nothing, flushes_ignored: 1 };
    let image = ImageBuilder::new(&recording).image(lying);
    assert_eq!([sector(&image, 0), sector(&image, 8)], [1, 0]);
}

#[test]
fn crashes_at_one_point_leave_distinct_images() {
    let recording = recording();
    let mut random = Rng::with_seed(1);
    assert_eq!(crashes_at(&recording.events, 3, &mut random), [crash(3, KeptWrites::Everything)]);
    let single_sector = crashes_at(&recording.events, 7, &mut random);
    assert_eq!(single_sector, [crash(7, KeptWrites::Nothing), crash(7, KeptWrites::Everything)]);
    assert!(crashes_at(&recording.events, 5, &mut random).len() > 2);
}

#[test]
fn sample_is_spread_over_the_whole_recording() {
    let events: Vec<Event> = (0..300)
        .map(|number| match number % 3 {
            0 => write(0, 1, 512),
            1 => Event::Sync,
            _ => Event::Marker(String::new()),
        })
        .collect();
    let points = CrashPoints::of(&events, 0);
    let chosen = points.sample(30, &mut Rng::with_seed(3));
    assert!((20..=30).contains(&chosen.len()), "{chosen:?}");
    assert!(chosen.is_sorted() && chosen[0] < 60 && chosen[chosen.len() - 1] > 240);
    assert!(points.sample_after_markers(5, &mut Rng::with_seed(3)).iter().all(|at| at % 3 == 0));
}
