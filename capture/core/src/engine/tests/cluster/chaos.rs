//! Members killed, paths cut, agents moving, at random with fixed seeds: nobody hears the wrong agent or what no journal
//! has, and nobody loses a session that had a living path. What is heard is checked packet by packet by [`Net`].

use super::*;

const MEMBERS: usize = 3;
const AGENTS: usize = 4;

/// splitmix64 (Steele, Lea and Flood 2014).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) >> 33).expect("31 bits") % bound
    }

    fn legs(&mut self) -> [bool; 2] {
        [BOTH, BOTH, AGENT, CUSTOMER][self.below(4)]
    }

    /// One member or several that see a call.
    fn seers(&mut self) -> Vec<(usize, [bool; 2])> {
        let first = self.below(MEMBERS);
        match self.below(3) {
            0 => vec![(first, BOTH), ((first + 1) % MEMBERS, self.legs())],
            1 => vec![(first, AGENT), ((first + 1) % MEMBERS, CUSTOMER)],
            _ => vec![(first, BOTH)],
        }
    }
}

fn up(net: &Net) -> Vec<usize> {
    (0..MEMBERS).filter(|&number| net.is_up(number)).collect()
}

fn one_step(net: &mut Net, dice: &mut Dice) {
    match dice.below(10) {
        0 | 1 if up(net).len() > 1 => {
            let living = up(net);
            let number = living[dice.below(living.len())];
            let loudly = dice.below(3) > 0;
            net.kill(number, loudly);
        }
        2..=4 => {
            if let Some(dead) = (0..MEMBERS).find(|&number| !net.is_up(number)) {
                net.start(dead);
            }
        }
        5 => {
            let one = dice.below(MEMBERS);
            let cut = !net.is_cut(one, (one + 1) % MEMBERS);
            net.cut(one, (one + 1) % MEMBERS, cut);
        }
        6 | 7 => {
            let (number, seers) = (dice.below(AGENTS), dice.seers());
            net.hangs_up(number);
            net.talks(number, &seers);
        }
        8 => {
            let program = dice.below(net.programs.len());
            net.lose_connection(program);
        }
        _ => net.members_lose = [0, 0, 7][dice.below(3)],
    }
    net.run([0.2, 1.0, 4.0][dice.below(3)]);
}

/// All members there, all paths whole, everybody seen: then everybody is heard, in one session each.
fn heal(net: &mut Net) {
    for one in 0..MEMBERS {
        net.cut(one, (one + 1) % MEMBERS, false);
        if !net.is_up(one) {
            net.start(one);
        }
    }
    net.members_lose = 0;
    net.run(35.0);
    for number in 0..AGENTS {
        net.hangs_up(number);
        net.talks(number, &[(number % MEMBERS, BOTH)]);
    }
    net.run(17.0);
}

fn check(net: &Net, seed: u64) {
    let sessions: usize = up(net)
        .iter()
        .map(|&number| net.member(number).engine.session_count())
        .sum();
    let mut expected = 0;
    for program in &net.programs {
        let source = program.agent % MEMBERS;
        let home = program.connection.map(|(home, _)| home).expect("connected");
        expected += if home == source { 1 } else { 2 };
        let status = program.status.as_ref().expect("a status");
        assert_eq!(
            status.reason.code,
            Code::AudioFlowing,
            "seed {seed}: {} at gw{home}: {}",
            program.supervisor,
            status.reason
        );
        let lately = net.now.saturating_back(Duration::from_secs(3));
        let gap = program.longest_gap(lately, net.now);
        assert!(
            gap < Duration::from_millis(50),
            "seed {seed}: {} hears gaps of {gap:?}",
            program.supervisor
        );
        assert!(
            !program.heard_twice(),
            "seed {seed}: {} hears something twice",
            program.supervisor
        );
    }
    assert_eq!(sessions, expected, "seed {seed}: ghosts");
}

fn rehearse(seed: u64, steps: usize) {
    let mut net = Net::of(MEMBERS);
    let mut dice = Dice(seed);
    for number in 0..AGENTS {
        let seers = dice.seers();
        net.talks(number, &seers);
    }
    net.run(3.0);
    for (number, name) in ["anna", "bert", "carl", "dora"].into_iter().enumerate() {
        let first = dice.below(MEMBERS);
        let servers: Vec<usize> = (0..MEMBERS).map(|at| (first + at) % MEMBERS).collect();
        net.listen(name, number, &servers);
    }
    for _ in 0..steps {
        one_step(&mut net, &mut dice);
    }
    heal(&mut net);
    check(&net, seed);
}

#[test]
fn whatever_dies_or_moves_nobody_hears_the_wrong_agent_or_loses_a_session_for_good() {
    for seed in 0..2 {
        rehearse(seed, 10);
    }
}

/// The long form: `cargo test -p silentmon-capture-core --release -- --ignored a_thousand_rehearsals`.
#[test]
#[ignore = "takes minutes"]
fn a_thousand_rehearsals() {
    for seed in 0..1_000 {
        rehearse(seed, 40);
    }
}
