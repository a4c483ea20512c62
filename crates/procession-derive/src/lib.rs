//! `#[derive(Shareable)]`: says that a type may lie in memory that several processes map.
//!
//! Take it from `procession_shm` or from `procession`, where it stands beside the trait of the same name; what the trait
//! promises is documented there. This crate only writes the implementation and the proof that every field keeps the promise.
//!
//! A macro does not know through which crate it was called, but its output has to name the trait by an absolute path. So
//! there is one entry for each crate that re-exports it, and `#[shareable(crate = some::path)]` for everybody else.

mod expand;

use proc_macro::TokenStream;
use quote::quote;
use syn::{DeriveInput, parse_macro_input};

/// Implements `procession_shm::Shareable` for a struct or an enum, all of whose fields are `Shareable`.
///
/// A field that is not is a compile error at its type. Generic types are `Shareable` where the types of their fields are.
/// Unions are refused, because nobody can say which field is in them, and so are types with lifetimes, because what they
/// borrow lies in one process only.
///
/// `#[shareable(crate = path)]` names the crate that has the trait, where that is not `::procession_shm`.
#[proc_macro_derive(Shareable, attributes(shareable))]
pub fn shareable(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand::shareable(&input, quote!(::procession_shm)).into()
}

/// [`Shareable`](macro@Shareable) as `procession` re-exports it, for programs that do not name `procession_shm`.
#[doc(hidden)]
#[proc_macro_derive(ShareableInFacade, attributes(shareable))]
pub fn shareable_in_facade(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand::shareable(&input, quote!(::procession)).into()
}
