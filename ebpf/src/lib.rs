//! eBPF programs without a compiler: assembled by hand, loaded by bpf(2), attached to a socket or an interface.
//!
//! The capture's kernel filter is one such program; the faults a NIC test is tested with are others.
#![cfg(target_os = "linux")]

pub mod assembler;
pub mod sys;
