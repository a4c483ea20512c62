//! From a type to its implementation of `Shareable`.
//!
//! The output is an `unsafe impl`, so it must prove what it asserts: that each field is `Shareable`. There are two forms of
//! the proof. A type that mentions a parameter becomes a bound of the implementation, which holds or not where the type is
//! used. Any other type is checked on the spot by a call of a function with that bound; as a bound of the implementation it
//! would make the compiler talk about trivial bounds and unstable features. Either way the tokens of the field's type carry
//! the span, and that is where the error points.

use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Fields, GenericParam, Generics, Path, Type};

/// The implementation, or the errors that say why there is none.
pub(crate) fn shareable(input: &DeriveInput, default_crate: TokenStream) -> TokenStream {
    try_shareable(input, default_crate).unwrap_or_else(Error::into_compile_error)
}

fn try_shareable(input: &DeriveInput, default_crate: TokenStream) -> Result<TokenStream, Error> {
    refuse_lifetimes(&input.generics)?;
    let root = named_crate(input)?.unwrap_or(default_crate);
    let parameters = parameters(&input.generics);
    let (open, closed): (Vec<_>, Vec<_>) =
        field_types(&input.data)?.into_iter().partition(|ty| mentions(ty, &parameters));
    let implementation = implementation(input, &root, &open);
    let checks = checks(&root, &closed);
    Ok(quote!(#implementation #checks))
}

fn implementation(input: &DeriveInput, root: &TokenStream, open: &[&Type]) -> TokenStream {
    let name = &input.ident;
    let (impl_generics, type_generics, where_clause) = input.generics.split_for_impl();
    let stated = where_clause.into_iter().flat_map(|clause| &clause.predicates);
    let lasting = input.generics.type_params().map(|parameter| {
        let ident = &parameter.ident;
        quote!(#ident: 'static)
    });
    let proved = open.iter().map(|ty| quote_spanned!(ty.span()=> #ty: #root::Shareable));
    let bounds = stated.map(ToTokens::to_token_stream).chain(lasting).chain(proved);
    // SAFETY: each field is proved to be `Shareable`, by the bounds here or by `checks`.
    quote! {
        #[automatically_derived]
        unsafe impl #impl_generics #root::Shareable for #name #type_generics where #(#bounds),* {}
    }
}

fn checks(root: &TokenStream, closed: &[&Type]) -> TokenStream {
    let calls = closed.iter().map(|ty| quote_spanned!(ty.span()=> field::<#ty>();));
    quote! {
        const _: fn() = || {
            fn field<F: ?::core::marker::Sized + #root::Shareable>() {}
            #(#calls)*
        };
    }
}

/// The path in `#[shareable(crate = path)]`.
fn named_crate(input: &DeriveInput) -> Result<Option<TokenStream>, Error> {
    let mut named = None;
    for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("shareable")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("crate") {
                return Err(meta.error("the only option of `shareable` is `crate = path`"));
            }
            named = Some(meta.value()?.call(Path::parse_mod_style)?.into_token_stream());
            Ok(())
        })?;
    }
    Ok(named)
}

fn refuse_lifetimes(generics: &Generics) -> Result<(), Error> {
    generics.lifetimes().next().map_or(Ok(()), |parameter| {
        let message = "a type with a lifetime cannot be Shareable: what it borrows lies in this \
            process only; own the value, or use an index into shared memory";
        Err(Error::new_spanned(parameter, message))
    })
}

fn field_types(data: &Data) -> Result<Vec<&Type>, Error> {
    match data {
        Data::Struct(data) => Ok(types(&data.fields).collect()),
        Data::Enum(data) => {
            Ok(data.variants.iter().flat_map(|variant| types(&variant.fields)).collect())
        }
        Data::Union(data) => {
            let message = "a union cannot be Shareable: nobody can say which of its fields another \
                process stored; use an enum, or a struct with all of the fields";
            Err(Error::new_spanned(data.union_token, message))
        }
    }
}

fn types(fields: &Fields) -> impl Iterator<Item = &Type> {
    fields.iter().map(|field| &field.ty)
}

/// The names that mean something only inside the implementation.
fn parameters(generics: &Generics) -> Vec<String> {
    let names = generics.params.iter().filter_map(|parameter| match parameter {
        GenericParam::Type(parameter) => Some(parameter.ident.to_string()),
        GenericParam::Const(parameter) => Some(parameter.ident.to_string()),
        GenericParam::Lifetime(_) => None,
    });
    names.chain(["Self".to_owned()]).collect()
}

/// Whether one of the names stands somewhere in the type. One that only looks the same, like a module, does no harm: the
/// check then moves from a call to a bound.
fn mentions(ty: &Type, names: &[String]) -> bool {
    fn any(tokens: TokenStream, found: &impl Fn(&Ident) -> bool) -> bool {
        tokens.into_iter().any(|token| match token {
            TokenTree::Ident(ident) => found(&ident),
            TokenTree::Group(group) => any(group.stream(), found),
            TokenTree::Punct(_) | TokenTree::Literal(_) => false,
        })
    }
    any(ty.to_token_stream(), &|ident| names.iter().any(|name| ident == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(input: &str) -> String {
        let input = syn::parse_str(input).unwrap();
        shareable(&input, quote!(::shm)).to_string().replace(' ', "")
    }

    #[test]
    fn a_type_without_parameters_is_checked_on_the_spot() {
        let output = expanded("struct S { a: u32, b: [u8; 4] }");
        assert!(output.contains("unsafeimpl::shm::ShareableforSwhere{}"), "{output}");
        assert!(output.contains("field::<u32>();field::<[u8;4]>();"), "{output}");
    }

    #[test]
    fn a_type_that_mentions_a_parameter_becomes_a_bound() {
        let output = expanded("struct S<T, const N: usize>([T; N], u8);");
        assert!(output.contains("whereT:'static,[T;N]:::shm::Shareable{}"), "{output}");
        assert!(output.contains("field::<u8>();"), "{output}");
        assert!(!output.contains("field::<[T;N]>"), "{output}");
    }

    #[test]
    fn the_fields_of_every_variant_count() {
        let output = expanded("enum E { A, B(u8, u16), C { x: i32 } }");
        assert!(output.contains("field::<u8>();field::<u16>();field::<i32>();"), "{output}");
    }

    #[test]
    fn stated_bounds_stay() {
        let output = expanded("struct S<T: Copy>(T) where T: Send;");
        assert!(output.contains("impl<T:Copy>"), "{output}");
        assert!(output.contains("whereT:Send,T:'static,T:::shm::Shareable"), "{output}");
    }

    #[test]
    fn the_crate_can_be_named() {
        let output = expanded("#[shareable(crate = my::shm)] struct S(u8);");
        assert!(output.contains("unsafeimplmy::shm::ShareableforS"), "{output}");
        assert!(expanded("#[shareable(kraate = x)] struct S;").contains("compile_error!"));
    }

    #[test]
    fn unions_and_lifetimes_are_refused() {
        assert!(expanded("union U { a: u8 }").contains("compile_error!"));
        assert!(expanded("struct S<'a>(&'a u8);").contains("compile_error!"));
    }
}
