# Bootstrap intervals of R's pROC for dgccl.stats: partial areas, and the sensitivity at given specificities.
#
# Usage: Rscript bootstrap.R cases.csv OUT.csv
# Writes one line a value: quantity,value. Draws differ between R and NumPy, so that the tests compare within the
# Monte Carlo error of both (Debian: r-base-core, r-cran-proc).

suppressPackageStartupMessages(library(pROC))
arguments <- commandArgs(trailingOnly = TRUE)
cases <- read.csv(arguments[1])
values <- list()
keep <- function(name, value) values[[name]] <<- as.numeric(value)
set.seed(20240607)
draws <- 10000

for (score in c("first", "second", "ordinal")) {
  for (stratified in c(TRUE, FALSE)) {
    for (focus in c("specificity", "sensitivity")) for (correct in c(FALSE, TRUE)) {
      r <- roc(cases$y_true, cases[[score]], levels = c(0, 1), direction = "<", quiet = TRUE,
               partial.auc = c(0.7, 1), partial.auc.focus = focus, partial.auc.correct = correct)
      # The corrected area of a replicate below the diagonal is NA, and pROC leaves it out with a warning.
      interval <- suppressWarnings(ci.auc(r, method = "bootstrap", boot.n = draws, boot.stratified = stratified,
                                          progress = "none"))
      name <- sprintf("%s.%s.%s.%s", score, focus, if (correct) "standardized" else "plain",
                      if (stratified) "within_class" else "all")
      keep(paste0("partial_low.", name), interval[1])
      keep(paste0("partial_high.", name), interval[3])
    }
    r <- roc(cases$y_true, cases[[score]], levels = c(0, 1), direction = "<", quiet = TRUE)
    specificities <- seq(0.1, 0.9, 0.1)
    band <- ci.se(r, specificities = specificities, boot.n = draws, boot.stratified = stratified, progress = "none")
    for (i in seq_along(specificities)) {
      name <- sprintf("%s.%.1f.%s", score, specificities[i], if (stratified) "within_class" else "all")
      keep(paste0("se_low.", name), band[i, 1])
      keep(paste0("se_high.", name), band[i, 3])
    }
  }
}

lines <- sprintf("%s,%.17g", names(values), unlist(values))
writeLines(c("quantity,value", lines), arguments[2])
