#include "lib/net/selfsign.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/dirs.h"
#include "lib/net/key.h"

enum { DAY_S = 86400, CA_DAYS = 3650, LEAF_DAYS = 365, RENEW_DAYS = 30, SERIAL_BYTES = 16 };

struct pair {
  X509 *certificate;
  EVP_PKEY *key;
};

static void pair_close(struct pair *p) {
  X509_free(p->certificate);
  EVP_PKEY_free(p->key);
}

static struct pair pair_read(const char *certificate, const char *key) {
  struct pair p = {NULL, NULL};
  FILE *f = fopen(certificate, "re");
  if (f) {
    p.certificate = PEM_read_X509(f, NULL, NULL, NULL);
    fclose(f);
  }
  p.key = key_read(key);
  return p;
}

static FILE *file_for(const char *path, int mode) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
  FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
  if (f)
    setvbuf(f, NULL, _IONBF, 0); /* a buffer would keep the key */
  return f;
}

static enum err pair_write(const struct pair *p, const char *certificate, const char *key,
                           struct buf *why) {
  FILE *c = file_for(certificate, 0644), *k = file_for(key, 0600);
  key_wiping(true);
  bool good = c && k && PEM_write_X509(c, p->certificate) == 1 &&
              PEM_write_PrivateKey(k, p->key, NULL, NULL, 0, NULL, NULL) == 1;
  int error = errno;
  key_wiping(false);
  if (c)
    good = fclose(c) == 0 && good;
  if (k)
    good = fclose(k) == 0 && good;
  if (!good)
    buf_printf(why, "%s: cannot be written: %s; check that its directory is writable", certificate,
               strerror(error));
  return good ? OK : ERR_IO;
}

static bool is_fresh(const struct pair *p) {
  time_t soon = time(NULL) + RENEW_DAYS * DAY_S;
  return p->certificate && p->key && X509_check_private_key(p->certificate, p->key) == 1 &&
         X509_cmp_time(X509_get0_notAfter(p->certificate), &soon) > 0;
}

static bool covers(const X509 *certificate, char *const *names) {
  for (; names && *names; names++)
    if (strchr(*names, '*') ? false : X509_check_host((X509 *)certificate, *names, 0, 0, NULL) != 1)
      return false;
  return true;
}

static bool extension(X509 *certificate, X509 *issuer, int nid, const char *value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
  X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &context, nid, value);
  bool good = e && X509_add_ext(certificate, e, -1) == 1;
  X509_EXTENSION_free(e);
  return good;
}

static bool serial_set(X509 *certificate) {
  unsigned char bytes[SERIAL_BYTES];
  if (RAND_bytes(bytes, sizeof bytes) != 1)
    return false;
  bytes[0] &= 0x7f;
  BIGNUM *n = BN_bin2bn(bytes, sizeof bytes, NULL);
  bool good = n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(certificate));
  BN_free(n);
  return good;
}

static bool pair_begin(struct pair *p, const char *name, int days) {
  p->key = EVP_EC_gen("P-256");
  p->certificate = X509_new();
  if (!p->key || !p->certificate || !serial_set(p->certificate))
    return false;
  X509_NAME *subject = X509_get_subject_name(p->certificate);
  return X509_set_version(p->certificate, X509_VERSION_3) == 1 &&
         X509_gmtime_adj(X509_getm_notBefore(p->certificate), -DAY_S) &&
         X509_gmtime_adj(X509_getm_notAfter(p->certificate), (long)days * DAY_S) &&
         X509_set_pubkey(p->certificate, p->key) == 1 &&
         X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)name, -1,
                                    -1, 0) == 1;
}

static bool ca_make(struct pair *p) {
  return pair_begin(p, "headrace local CA", CA_DAYS) &&
         X509_set_issuer_name(p->certificate, X509_get_subject_name(p->certificate)) == 1 &&
         extension(p->certificate, p->certificate, NID_basic_constraints,
                   "critical,CA:TRUE,pathlen:0") &&
         extension(p->certificate, p->certificate, NID_key_usage, "critical,keyCertSign,cRLSign") &&
         extension(p->certificate, p->certificate, NID_subject_key_identifier, "hash") &&
         X509_sign(p->certificate, p->key, EVP_sha256()) > 0;
}

static bool leaf_make(struct pair *p, const struct pair *ca, char *const *names) {
  struct buf alternatives = BUF_INIT(16 * 1024);
  buf_str(&alternatives, "IP:127.0.0.1,IP:::1");
  for (char *const *name = names; name && *name; name++)
    buf_printf(&alternatives, ",DNS:%s", *name);
  bool good =
      !alternatives.failed && pair_begin(p, names && *names ? *names : "localhost", LEAF_DAYS) &&
      X509_set_issuer_name(p->certificate, X509_get_subject_name(ca->certificate)) == 1 &&
      extension(p->certificate, ca->certificate, NID_basic_constraints, "critical,CA:FALSE") &&
      extension(p->certificate, ca->certificate, NID_key_usage, "critical,digitalSignature") &&
      extension(p->certificate, ca->certificate, NID_ext_key_usage, "serverAuth") &&
      extension(p->certificate, ca->certificate, NID_subject_key_identifier, "hash") &&
      extension(p->certificate, ca->certificate, NID_authority_key_identifier, "keyid") &&
      extension(p->certificate, ca->certificate, NID_subject_alt_name, alternatives.data) &&
      X509_sign(p->certificate, ca->key, EVP_sha256()) > 0;
  buf_free(&alternatives);
  return good;
}

static enum err ensure_leaf(const struct pair *ca, bool ca_is_new, char *const *names,
                            const struct selfsign_paths *paths, struct buf *why) {
  struct pair leaf = pair_read(paths->certificate, paths->key);
  bool good = !ca_is_new && is_fresh(&leaf) && covers(leaf.certificate, names) &&
              X509_verify(leaf.certificate, ca->key) == 1;
  enum err e = OK;
  if (!good) {
    pair_close(&leaf);
    leaf = (struct pair){NULL, NULL};
    e = leaf_make(&leaf, ca, names) ? pair_write(&leaf, paths->certificate, paths->key, why)
                                    : ERR_TLS;
  }
  pair_close(&leaf);
  return e;
}

enum err selfsign_ensure(const char *directory, char *const *names, struct selfsign_paths *paths,
                         struct buf *why) {
  char ca_key[512];
  snprintf(paths->ca, sizeof paths->ca, "%s/ca.pem", directory);
  snprintf(paths->certificate, sizeof paths->certificate, "%s/cert.pem", directory);
  snprintf(paths->key, sizeof paths->key, "%s/key.pem", directory);
  snprintf(ca_key, sizeof ca_key, "%s/ca-key.pem", directory);
  if (dirs_make(directory, 0700) != OK) {
    buf_printf(why, "%s: cannot be made: %s", directory, strerror(errno));
    return ERR_IO;
  }
  struct pair ca = pair_read(paths->ca, ca_key);
  bool ca_is_new = !is_fresh(&ca);
  enum err e = OK;
  if (ca_is_new) {
    pair_close(&ca);
    ca = (struct pair){NULL, NULL};
    e = ca_make(&ca) ? pair_write(&ca, paths->ca, ca_key, why) : ERR_TLS;
  }
  if (!e)
    e = ensure_leaf(&ca, ca_is_new, names, paths, why);
  if (e == ERR_TLS)
    buf_str(why, "a certificate could not be made; check the names in self_signed");
  pair_close(&ca);
  return e;
}
