#!/usr/bin/env bash
# Makes the audio of telephone calls, internal/voice/audio/LANGUAGE/NAME.ulaw (G.711 µ-law, 8 kHz), from
# internal/voice/text/LANGUAGE.txt, and the letters and digits by which a name is spelled.
# The audio is in the repository, so that a build needs neither program; run this after a text was changed.
# Needs espeak-ng and sox (Debian).
set -euo pipefail
cd "$(dirname "$0")/../internal/voice"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# say LANGUAGE NAME SPEED TEXT
say() {
	espeak-ng -v "$1" -s "$3" -w "$work/said.wav" -- "$4"
	# Cut the silence at both ends, keep to what a telephone carries, and say all equally loud.
	sox -D "$work/said.wav" -r 8000 -c 1 -e mu-law -b 8 -t raw "audio/$1/$2.ulaw" \
		silence 1 0.02 0.2% reverse silence 1 0.02 0.2% reverse highpass 200 lowpass 3500 norm -4 pad 0.02 "${5:-0.25}"
}

for text in text/*.txt; do
	language=$(basename "$text" .txt)
	rm -rf "audio/$language"
	mkdir -p "audio/$language"
	while IFS= read -r line; do
		case $line in '' | '#'*) continue ;; esac
		say "$language" "${line%% = *}" 150 "${line#* = }"
	done <"$text"
	for c in {a..z} {0..9}; do say "$language" "spell_$c" 140 "$c" 0.1; done
done
du -sh audio
