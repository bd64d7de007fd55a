# SPDX-License-Identifier: BSD-2-Clause
# Kernels by page size, from one run's tsv: GB/s beside the processor's limits, and ratio to them.
#
#   gnuplot -e "tsv='build/bench.tsv'; png='build/bench.png'" tests/bench.gnuplot

set terminal pngcairo size 1400,1500 font 'sans,11' noenhanced
set output png
set datafile separator "\t"
set logscale x 2
set xrange [3600:75000]
set xtics (4096, 8192, 16384, 65536)
set xlabel 'page_bytes'
set grid ytics linetype 1 linecolor rgb '#dddddd'
set key outside right top

# Who has a row of a verb, and the tsv's lines of one row.
names(verb) = system(sprintf("awk -F'\t' '$1 ~ \"^%s/\" {sub(/.*\\//, \"\", $1); if (!seen[$1]++) print $1}' '%s'", verb, tsv))
row(name) = sprintf("<awk -F'\t' '$1 == \"%s\"' '%s'", name, tsv)
limits = names('limit')
# A kernel has one colour in all plots: its place among all of them.
everyone = system(sprintf("awk -F'\t' '$1 ~ \"^(xts|gcm)-enc/\" {sub(/.*\\//, \"\", $1); if (!seen[$1]++) print $1}' '%s'", tsv))
place(kernel) = int(system(sprintf("echo '%s' | grep -nxF '%s' | cut -d: -f1", everyone, kernel)))

set multiplot layout 3,2 title 'AES-256 page kernels, one core'
do for [verb in 'xts-enc gcm-enc gcm-dec-newsalt'] {
    kernels = names(verb)
    set title verb
    set ylabel 'GB/s'
    set yrange [0:*]
    plot for [i=1:words(kernels)] row(verb.'/'.word(kernels, i)) using 2:4 \
             with linespoints linetype place(word(kernels, i)) linewidth 2 \
             title word(kernels, i), \
         for [i=1:words(limits)] row('limit/'.word(limits, i)) using 2:4 \
             with lines linecolor rgb '#555555' dashtype i + 1 linewidth 2 \
             title 'limit/'.word(limits, i)
    if (words(limits) == 0) { set multiplot next; continue } # Arm
    set ylabel 'ratio to its limit'
    set yrange [0:1]
    plot for [i=1:words(kernels)] row(verb.'/'.word(kernels, i)) using 2:5 \
             with linespoints linetype place(word(kernels, i)) linewidth 2 \
             title word(kernels, i)
}
unset multiplot
