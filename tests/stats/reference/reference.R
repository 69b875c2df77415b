# Reference values of R's pROC and stats for dgccl.stats.
#
# Usage: Rscript reference.R cases.csv OUT.csv
# Writes one line a value: quantity,value. The test reads the stored file, and runs this script again where
# Rscript and pROC are installed (Debian: r-base-core, r-cran-proc).

suppressPackageStartupMessages(library(pROC))
arguments <- commandArgs(trailingOnly = TRUE)
cases <- read.csv(arguments[1])
values <- list()
keep <- function(name, value) values[[name]] <<- as.numeric(value)

scores <- c("first", "second", "ordinal", "reverse")
curve <- function(score) roc(cases$y_true, cases[[score]], levels = c(0, 1), direction = "<", quiet = TRUE)

for (score in scores) {
  r <- curve(score)
  keep(paste0("auroc.", score), auc(r))
  keep(paste0("variance.", score), var(r, method = "delong"))
  for (level in c(0.90, 0.95)) {
    interval <- ci.auc(r, method = "delong", conf.level = level)
    keep(sprintf("low%.0f.%s", 100 * level, score), interval[1])
    keep(sprintf("high%.0f.%s", 100 * level, score), interval[3])
  }
  keep(paste0("corners.", score), length(r$thresholds))
  # Of several best thresholds pROC gives all; ours is the lowest.
  best <- coords(r, "best", best.method = "youden", ret = c("threshold", "sensitivity", "specificity"),
                 transpose = FALSE)
  best <- best[which.min(best$threshold), ]
  keep(paste0("youden.", score), best$threshold)
  keep(paste0("youden_sensitivity.", score), best$sensitivity)
  keep(paste0("youden_specificity.", score), best$specificity)
  k <- suppressWarnings(ks.test(cases[[score]][cases$y_true == 1], cases[[score]][cases$y_true == 0], exact = TRUE))
  keep(paste0("ks.", score), k$statistic)
  # ks.test of R before 4.3 has no exact p with ties.
  if (!anyDuplicated(cases[[score]])) keep(paste0("ks_p.", score), k$p.value)
}

for (i in seq_along(scores)) for (j in seq_along(scores)) if (i < j) {
  test <- roc.test(curve(scores[i]), curve(scores[j]), method = "delong", paired = TRUE)
  pair <- paste(scores[i], scores[j], sep = ".")
  keep(paste0("z.", pair), test$statistic)
  keep(paste0("p.", pair), test$p.value)
  keep(paste0("paired_low.", pair), test$conf.int[1])
  keep(paste0("paired_high.", pair), test$conf.int[2])
}

for (counts in list(c(0, 7), c(3, 10), c(23, 24), c(50, 50), c(441, 500))) {
  name <- paste(counts[1], counts[2], sep = ".")
  wilson <- suppressWarnings(prop.test(counts[1], counts[2], correct = FALSE))$conf.int
  exact <- binom.test(counts[1], counts[2])$conf.int
  keep(paste0("wilson_low.", name), wilson[1])
  keep(paste0("wilson_high.", name), wilson[2])
  keep(paste0("clopper_pearson_low.", name), exact[1])
  keep(paste0("clopper_pearson_high.", name), exact[2])
}

p <- c(0.011, 0.04, 0.0007, 0.04, 0.6, 0.012)
adjusted <- p.adjust(p, method = "holm")
for (i in seq_along(p)) keep(sprintf("holm.%d", i), adjusted[i])

lines <- sprintf("%s,%.17g", names(values), unlist(values))
writeLines(c("quantity,value", lines), arguments[2])
