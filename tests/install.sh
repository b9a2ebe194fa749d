# Debian packages that are missing, installed as root or by sudo. Sourced by the Makefile.

install_packages() {
	missing=
	for package in "$@"; do
		dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
	done
	[ -z "$missing" ] && return 0
	command="apt-get install -y --no-install-recommends$missing"
	if [ "$(id -u)" = 0 ]; then
		as_root=
	elif sudo -n true 2>/dev/null; then
		as_root="sudo"
	else
		echo "Some packages are missing. As root: apt-get update && $command"
		return 1
	fi
	echo "installing$missing"
	$as_root apt-get update -qq && DEBIAN_FRONTEND=noninteractive $as_root $command >/dev/null
}

# Node 18 or later may be there from elsewhere.
node_packages() {
	if command -v npm >/dev/null && [ "$(node -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0)" -ge 18 ]; then
		return 0
	fi
	echo nodejs npm
}
