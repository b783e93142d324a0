//! Playing takes no memory: nothing is allocated after the player was made.
#![allow(unsafe_code, reason = "only an allocator can count allocations")]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use common::{Phone, START, ms};
use silentmon_playback_core::player::{Player, PlayoutSettings};
use silentmon_proto::ids::Leg;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is handed to the system's allocator unchanged; counting touches a thread-local cell only.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn neither_packets_nor_pulls_allocate_even_under_loss_jitter_and_restarts() {
    let mut phone = Phone::new(Leg::Agent);
    let mut sent = phone.talk(500, 160);
    phone.ssrc += 1;
    sent.extend(phone.talk(500, 1500));
    phone.timestamp = 9;
    sent.extend(phone.talk(500, 80));
    let mut dice = common::Dice(7);
    for packet in &mut sent {
        packet.arrives += ms(dice.roll(150));
    }
    sent.retain(|_| dice.roll(20) > 0);
    sent.sort_by_key(|packet| packet.arrives);
    let mut player = Player::new(PlayoutSettings::default());
    let mut frames = [[0.0; 2]; 80];
    let mut waiting = sent.iter().peekable();
    let before = ALLOCATIONS.get();
    let mut now = START;
    while waiting.peek().is_some() {
        while let Some(packet) = waiting.next_if(|packet| packet.arrives <= now) {
            player.handle_packet(now, &packet.header(), &packet.rtp);
        }
        player.pull(now, &mut frames);
        now += Duration::from_millis(10);
    }
    assert_eq!(ALLOCATIONS.get() - before, 0);
    assert!(player.report(Leg::Agent).received > 1000);
}
