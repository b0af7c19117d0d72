# Builds the text of every recipe in recipes/ into the library.
file(GLOB recipe_files CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/recipes/*.yaml)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${recipe_files})
set(ready_made_entries "")
foreach(recipe_file IN LISTS recipe_files)
  get_filename_component(recipe_name ${recipe_file} NAME_WLE)
  file(READ ${recipe_file} recipe_text)
  string(APPEND ready_made_entries "      {\"${recipe_name}\", R\"recipe(${recipe_text})recipe\"},\n")
endforeach()
configure_file(${CMAKE_CURRENT_SOURCE_DIR}/recipe/ready_made_table.cpp.in
  ${CMAKE_CURRENT_BINARY_DIR}/ready_made_table.cpp @ONLY)
target_sources(terse_recipe PRIVATE ${CMAKE_CURRENT_BINARY_DIR}/ready_made_table.cpp)
