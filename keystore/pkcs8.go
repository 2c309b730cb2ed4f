package keystore

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"hash"
)

// ErrPassword says that decryption led to nothing that is a key.
var ErrPassword = errors.New("wrong password")

// maxIterations bounds the work that a key file can ask for: ten times what is recommended today.
const maxIterations = 10_000_000

// The parts of an encrypted PKCS #8 key (RFC 5958) in the scheme PBES2 (RFC 8018).
type (
	encryptedKey struct {
		Scheme pkix.AlgorithmIdentifier
		Data   []byte
	}
	pbes2 struct {
		Derivation, Cipher pkix.AlgorithmIdentifier
	}
	pbkdf2Params struct {
		Salt       []byte
		Iterations int
		KeyLength  int                      `asn1:"optional"`
		Hash       pkix.AlgorithmIdentifier `asn1:"optional"`
	}
)

var (
	oidPBES2  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
)

// keyHashes are the pseudo-random functions of PBKDF2: HMAC with each of these.
var keyHashes = map[string]func() hash.Hash{
	"":                    sha1.New, // the default of RFC 8018
	"1.2.840.113549.2.7":  sha1.New,
	"1.2.840.113549.2.9":  sha256.New,
	"1.2.840.113549.2.10": sha512.New384,
	"1.2.840.113549.2.11": sha512.New,
}

// A keyCipher is a block cipher in CBC mode.
type keyCipher struct {
	keyBytes int
	open     func(key []byte) (cipher.Block, error)
}

var keyCiphers = map[string]keyCipher{
	"2.16.840.1.101.3.4.1.2":  {16, aes.NewCipher},
	"2.16.840.1.101.3.4.1.22": {24, aes.NewCipher},
	"2.16.840.1.101.3.4.1.42": {32, aes.NewCipher},
	"1.2.840.113549.3.7":      {24, des.NewTripleDESCipher},
}

// DecryptPKCS8 returns the PKCS #8 key inside an encrypted one. The standard library reads only keys
// that are not encrypted.
func DecryptPKCS8(der, password []byte) ([]byte, error) {
	var outer encryptedKey
	if _, err := asn1.Unmarshal(der, &outer); err != nil {
		return nil, fmt.Errorf("not an encrypted PKCS #8 key: %w", err)
	}
	if !outer.Scheme.Algorithm.Equal(oidPBES2) {
		return nil, fmt.Errorf("encrypted with scheme %s, not PBES2; convert it with openssl pkcs8 -topk8 -v2 aes-256-cbc", outer.Scheme.Algorithm)
	}
	var scheme pbes2
	if _, err := asn1.Unmarshal(outer.Scheme.Parameters.FullBytes, &scheme); err != nil {
		return nil, fmt.Errorf("parameters of its encryption: %w", err)
	}
	block, iv, err := keyBlock(scheme, password)
	if err != nil {
		return nil, err
	}
	size := block.BlockSize()
	if len(iv) != size || len(outer.Data) == 0 || len(outer.Data)%size != 0 {
		return nil, errors.New("its encrypted bytes are not whole blocks")
	}
	text := make([]byte, len(outer.Data))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(text, outer.Data)
	pad := int(text[len(text)-1])
	if pad == 0 || pad > size || !bytes.Equal(text[len(text)-pad:], bytes.Repeat([]byte{byte(pad)}, pad)) {
		return nil, ErrPassword
	}
	text = text[:len(text)-pad]
	// One wrong password in 256 leaves padding that looks right.
	if _, err := x509.ParsePKCS8PrivateKey(text); err != nil {
		return nil, fmt.Errorf("%w, or no key: %w", ErrPassword, err)
	}
	return text, nil
}

// keyBlock derives the key from the password.
func keyBlock(scheme pbes2, password []byte) (cipher.Block, []byte, error) {
	if !scheme.Derivation.Algorithm.Equal(oidPBKDF2) {
		return nil, nil, fmt.Errorf("its key derivation %s is not PBKDF2; convert it with openssl pkcs8 -topk8", scheme.Derivation.Algorithm)
	}
	var params pbkdf2Params
	if _, err := asn1.Unmarshal(scheme.Derivation.Parameters.FullBytes, &params); err != nil {
		return nil, nil, fmt.Errorf("parameters of its key derivation: %w", err)
	}
	newHash, ok := keyHashes[params.Hash.Algorithm.String()]
	if !ok {
		return nil, nil, fmt.Errorf("its key derivation uses the hash %s, which is not known", params.Hash.Algorithm)
	}
	use, ok := keyCiphers[scheme.Cipher.Algorithm.String()]
	if !ok {
		return nil, nil, fmt.Errorf("its cipher %s is not known; convert it with openssl pkcs8 -topk8 -v2 aes-256-cbc", scheme.Cipher.Algorithm)
	}
	if params.Iterations < 1 || params.Iterations > maxIterations {
		return nil, nil, fmt.Errorf("its key derivation asks for %d rounds, the limit is %d", params.Iterations, maxIterations)
	}
	var iv []byte
	if _, err := asn1.Unmarshal(scheme.Cipher.Parameters.FullBytes, &iv); err != nil {
		return nil, nil, fmt.Errorf("parameters of its cipher: %w", err)
	}
	key, err := pbkdf2.Key(newHash, string(password), params.Salt, params.Iterations, use.keyBytes)
	if err != nil {
		return nil, nil, fmt.Errorf("derive its key: %w", err)
	}
	block, err := use.open(key)
	return block, iv, err
}
