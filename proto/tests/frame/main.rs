//! Frames built by hand, read back: every link type, tag, tunnel and fragment that the reader knows.
#![cfg(test)]

mod build;
mod fragments;
mod headers;
mod internet;
mod links;
mod properties;
mod tags;
mod tunnels;
