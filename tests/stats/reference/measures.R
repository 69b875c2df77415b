# Reference values of R's pROC and stats for the measures of a binary test and for partial areas.
#
# Usage: Rscript measures.R cases.csv OUT.csv
# Writes one line a value: quantity,value. The test reads the stored file, and runs this script again where
# Rscript and pROC are installed (Debian: r-base-core, r-cran-proc).

suppressPackageStartupMessages(library(pROC))
arguments <- commandArgs(trailingOnly = TRUE)
cases <- read.csv(arguments[1])
values <- list()
keep <- function(name, value) values[[name]] <<- as.numeric(value)

thresholds <- c(first = 0.4, second = 0.25, ordinal = 2.5, reverse = -0.85)
ranges <- list(c(0.9, 1), c(0.8, 1), c(0.333, 0.777), c(0, 0.25), c(0.501, 0.507), c(0, 1))

for (score in names(thresholds)) {
  r <- roc(cases$y_true, cases[[score]], levels = c(0, 1), direction = "<", quiet = TRUE)

  for (range in ranges) for (focus in c("specificity", "sensitivity")) for (correct in c(FALSE, TRUE)) {
    area <- suppressWarnings(auc(r, partial.auc = range, partial.auc.focus = focus, partial.auc.correct = correct))
    name <- sprintf("%s.%s.%s.%s.%s", if (correct) "standardized" else "partial", focus, score, range[1], range[2])
    # Below the diagonal the corrected area is NA; it is written as -1.
    keep(name, if (is.na(area)) -1 else area)
  }

  found <- c("tp", "fp", "fn", "tn", "sensitivity", "specificity", "ppv", "npv", "accuracy")
  point <- coords(r, thresholds[[score]], input = "threshold", ret = found, transpose = FALSE)
  for (name in found) keep(paste(name, score, sep = "."), point[[name]])
  called <- as.numeric(cases[[score]] >= thresholds[[score]])
  keep(paste0("mcc.", score), cor(cases$y_true, called))

  wilson <- function(name, hits, trials) {
    interval <- suppressWarnings(prop.test(hits, trials, correct = FALSE))$conf.int
    exact <- binom.test(hits, trials)$conf.int
    keep(sprintf("%s_wilson_low.%s", name, score), interval[1])
    keep(sprintf("%s_wilson_high.%s", name, score), interval[2])
    keep(sprintf("%s_clopper_pearson_low.%s", name, score), exact[1])
    keep(sprintf("%s_clopper_pearson_high.%s", name, score), exact[2])
  }
  n <- nrow(cases)
  wilson("sensitivity", point$tp, point$tp + point$fn)
  wilson("specificity", point$tn, point$tn + point$fp)
  wilson("ppv", point$tp, point$tp + point$fp)
  wilson("npv", point$tn, point$tn + point$fn)
  wilson("accuracy", point$tp + point$tn, n)
  wilson("prevalence", point$tp + point$fn, n)
  wilson("jaccard", point$tp, point$tp + point$fp + point$fn)
}

lines <- sprintf("%s,%.17g", names(values), unlist(values))
writeLines(c("quantity,value", lines), arguments[2])
