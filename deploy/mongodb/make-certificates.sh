#!/bin/sh
# Makes what TLS and the replica set need, in ./secrets: an authority of your own, the server's certificate, a key.
#   ./make-certificates.sh HOST [HOST ...]     all names and addresses by which workers reach the server
set -eu
umask 077
[ $# -gt 0 ] || { echo "usage: $0 HOST [HOST ...]" >&2; exit 2; }
[ ! -e secrets ] || { echo "$0: secrets/ is there already: remove it to make new ones" >&2; exit 2; }
names="DNS:localhost,IP:127.0.0.1"
for host in "$@"; do
    case $host in
        *[!0-9.]*) names="$names,DNS:$host" ;;
        *) names="$names,IP:$host" ;;
    esac
done
mkdir secrets
cd secrets
openssl req -x509 -newkey rsa:3072 -nodes -days 3650 -subj "/CN=ionloop store authority" \
    -keyout ca.key -out ca.pem 2>/dev/null
openssl req -newkey rsa:3072 -nodes -subj "/CN=$1" -keyout server.key -out server.csr 2>/dev/null
printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\n' "$names" > extensions
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 825 -extfile extensions \
    -out server.crt 2>/dev/null
cat server.crt server.key > server.pem
openssl rand -base64 756 > replica-set.key
rm server.csr server.crt server.key extensions
echo "secrets/ is made. Give ca.pem (only that) to the workers; keep ca.key off the server."
