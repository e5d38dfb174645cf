"""Annotated volumes → what is wrong with them, and what to train.

`examination` runs all checks of one volume: of its labels (`annotation`), its image (`contrast`) and whether both fit
(`registration`). `choices` decides network, crop and steps for these volumes and this machine, with a reason for each;
`recipes` has what the paper used for its data sets.
"""
