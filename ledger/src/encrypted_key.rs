//! Private keys under a passphrase: PKCS#8 `ENCRYPTED PRIVATE KEY` in PEM (RFC 5958 with PBES2 of
//! RFC 8018), as OpenSSL writes and reads it.
//!
//! Written with scrypt and AES-256-CBC; read also with PBKDF2, OpenSSL's default. Where a
//! passphrase comes from, and who may read a file, is for whoever holds the file.

use ed25519_dalek::{
    SigningKey,
    pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, KeypairBytes},
};
use pkcs8::{
    LineEnding, PrivateKeyInfoRef,
    pkcs5::{pbes2, scrypt},
};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::keys::SecretKey;

/// The label of such a PEM.
const LABEL: &str = "ENCRYPTED PRIVATE KEY";
/// Work of scrypt, as the power of two: 16 MiB and about a tenth of a second. OpenSSL reads no
/// more than 32 MiB unless it is told to.
const SCRYPT_LOG_N: u8 = 14;
/// Block size of scrypt (RFC 7914 recommends 8).
const SCRYPT_R: u32 = 8;
/// Parallelism of scrypt.
const SCRYPT_P: u32 = 1;
/// Random bytes that one encryption takes: 16 of salt, 16 of the cipher's first block.
pub const ENTROPY_LEN: usize = 32;

/// Why an encrypted key cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EncryptedKeyError {
    /// Another passphrase, or bytes that were changed: the two cannot be told apart.
    #[error("the passphrase does not open it")]
    Passphrase,
    /// Not a PEM of this kind, or not of an Ed25519 key.
    #[error("not an encrypted PKCS#8 Ed25519 private key in PEM")]
    NotAKey,
}

/// Whether a PEM says that it is an encrypted private key.
#[must_use]
pub fn is_encrypted(pem: &str) -> bool {
    pem.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----")
}

/// Reads an encrypted private key. Deliberately slow.
///
/// # Errors
///
/// [`EncryptedKeyError`].
pub fn decrypt(pem: &str, passphrase: &str) -> Result<SecretKey, EncryptedKeyError> {
    let key = SigningKey::from_pkcs8_encrypted_pem(pem, passphrase).map_err(|why| match why {
        pkcs8::Error::EncryptedPrivateKey(_) => EncryptedKeyError::Passphrase,
        _ => EncryptedKeyError::NotAKey,
    })?;
    Ok(SecretKey::from_seed(&Zeroizing::new(key.to_bytes())))
}

/// The encrypted PEM of a key. `entropy` is fresh random bytes, never used before.
#[must_use]
pub fn encrypt(
    key: &SecretKey,
    passphrase: &str,
    entropy: &[u8; ENTROPY_LEN],
) -> Zeroizing<String> {
    let (salt, first_block) = entropy.split_first_chunk::<16>().expect("there are 32 bytes");
    let first_block = first_block.try_into().expect("16 bytes are left");
    let work = scrypt::Params::new(SCRYPT_LOG_N, SCRYPT_R, SCRYPT_P).expect("sensible constants");
    let parameters = pbes2::Parameters::generate_scrypt_aes256cbc(work, salt, first_block)
        .expect("a salt of 16 bytes is of a length that scrypt takes");
    // Version 1 of the structure, without the public key: OpenSSL refuses version 2.
    let plain = KeypairBytes { secret_key: *key.to_seed(), public_key: None }
        .to_pkcs8_der()
        .expect("an Ed25519 key always has a PKCS#8 form");
    PrivateKeyInfoRef::try_from(plain.as_bytes())
        .and_then(|info| info.encrypt_with_params(parameters, passphrase))
        .and_then(|encrypted| Ok(encrypted.to_pem(LABEL, LineEnding::LF)?))
        .expect("a key of 48 bytes can be encrypted and written")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `openssl genpkey -algorithm ed25519 | openssl pkcs8 -topk8 -passout pass:open-sesame`.
    const BY_OPENSSL: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----\n\
        MIGbMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAgRdCuak1RPYwICCAAw\n\
        DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEFvm7//gdhPAw+KumbrM2OYEQDPe\n\
        mN1XE41pzx2713ZMK8zEO+irKkfbO92rKLe+LqTj46HiR3rzzClQX9EwrBrhHDvZ\n\
        hLY02ErbNdCj4dW0prA=\n\
        -----END ENCRYPTED PRIVATE KEY-----\n";
    const BY_OPENSSL_PUBLIC: &str =
        "0ada903585f162870ce11cd9cafad9824203c1b1f0032c3f81d9b8ab9e616c0d";

    #[test]
    fn what_is_encrypted_is_read_back_with_its_passphrase_only() {
        let key = SecretKey::from_seed(&[7; 32]);
        let pem = encrypt(&key, "符节 open sesame", &[9; ENTROPY_LEN]);
        assert!(is_encrypted(&pem) && !is_encrypted(&key.to_pem()));
        assert_eq!(decrypt(&pem, "符节 open sesame").unwrap().public_key(), key.public_key());
        for wrong in ["", "符节 open sesam", "符节 open sesame "] {
            assert!(decrypt(&pem, wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(decrypt("nonsense", "x").unwrap_err(), EncryptedKeyError::NotAKey);
        assert_eq!(decrypt(&key.to_pem(), "x").unwrap_err(), EncryptedKeyError::NotAKey);
        assert!(SecretKey::from_pem(&pem).is_err());
    }

    #[test]
    fn what_openssl_encrypted_is_read() {
        let key = decrypt(BY_OPENSSL, "open-sesame").unwrap();
        assert_eq!(key.public_key().to_string(), BY_OPENSSL_PUBLIC);
        assert!(decrypt(BY_OPENSSL, "open-says-me").is_err());
    }
}
